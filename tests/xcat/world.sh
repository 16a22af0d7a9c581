#!/bin/sh
# world.sh ROOT SHELL HAWIZ MOUNTS COMMAND…: runs COMMAND in the throw-away root ROOT. Called under `unshare`, as pid 1
# of a pid namespace, so that whatever COMMAND leaves behind ends with it.
#
# The programs of this machine are seen through bind mounts; /etc, /var, /root, /tmp and the rest are ROOT's own. MOUNTS
# are paths that must be mount points inside, one a line. SHELL (bash, dash) is what `sh` is inside.
set -eu
root=$1 shell=$2 hawiz=$3 mounts=$4
shift 4

mount --rbind "$root" "$root"
cd "$root"
for d in usr bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$d" ]; then
    [ -L "$d" ] || ln -s "$(readlink "/$d")" "$d"
  elif [ -d "/$d" ]; then
    mkdir -p "$d"
    mount --rbind "/$d" "$d"
  fi
done
mkdir -p proc dev tmp run var/lib root etc opt/hawiz
chmod 1777 tmp
mount -t proc proc proc 2>/dev/null || mount --rbind /proc proc
mount --rbind /dev dev
for f in passwd group ld.so.cache; do
  if [ -e "/etc/$f" ] && [ ! -e "etc/$f" ]; then cp "/etc/$f" "etc/$f"; fi
done
if [ -d /etc/alternatives ]; then
  mkdir -p etc/alternatives
  mount --rbind /etc/alternatives etc/alternatives
fi

: >>opt/hawiz/hawiz
mount --bind "$hawiz" opt/hawiz/hawiz
wanted=$(readlink -f "$(command -v "$shell")")
sh=$(readlink -f "/bin/sh")
[ "$wanted" = "$sh" ] || mount --bind "$wanted" "$root$sh"

printf '%s\n' "$mounts" | while read -r m; do
  [ -n "$m" ] || continue
  mkdir -p ".$m"
  mount --bind ".$m" ".$m"
done
ip link set lo up 2>/dev/null || :

# The last line is not the last command: pid 1 must stay this shell, and COMMAND must be an ordinary process.
chroot . "$@" || exit $?
exit 0
