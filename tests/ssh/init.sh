# The first process of a stand-in node: a mount and a process namespace of its own, /etc and /run too. $1: its folder.
#
# Why it exists: an sshd that is to have accounts, sudoers and a boot id of its own must not touch those of this machine, and
# whatever a session leaves behind must end with it. When our standard input ends (the test is over, or was killed), so does
# this process, and the kernel ends everybody else in here.
set -eu
dir=$1
# /proc is still the one of the machine: this is the number by which the test can enter.
read -r pid rest </proc/self/stat
mount -t proc none /proc
mount -t tmpfs -o mode=755 none "$dir/over"
mkdir "$dir/over/etc" "$dir/over/work"
cp -a "$dir/etc/." "$dir/over/etc"
mount -t overlay none -o "lowerdir=/etc,upperdir=$dir/over/etc,workdir=$dir/over/work" /etc
mount -t tmpfs -o mode=755 none /run
mkdir /run/sshd
mount --bind "$dir/boot_id" /proc/sys/kernel/random/boot_id
ip link set lo up 2>/dev/null || :
exec 3<&0
cat <&3 3<&- >/dev/null &
exec 3<&-
echo "$pid" >"$dir/init.t"
mv "$dir/init.t" "$dir/init"
# Waits for that one, and reaps all that are left to it meanwhile.
wait $!
