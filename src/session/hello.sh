# Who is there: the part of a session that greets. Over SSH it travels alone, behind frame.sh, in the command that sshd is asked
# to run, so that the greeting comes back with sshd's own answer; the shell that then reads calls is told what was found.

# The type and options of the file system a directory is on: hz_type, hz_opts.
hz_fs() { # directory
  hz_p=$(cd -P "$1" 2>/dev/null && pwd -P) || hz_p=$1
  hz_type='' hz_opts='' hz_best=0
  while read -r hz_x hz_m hz_t hz_o hz_y; do
    case $hz_m in *\\040*) hz_m=$(printf %b "$hz_m") ;; esac
    # bash takes "${hz_m%/}" in a pattern for more than nothing when nothing is left of it.
    hz_y=${hz_m%/}
    case $hz_p/ in
    "$hz_y"/*)
      if [ "${#hz_m}" -ge "$hz_best" ]; then hz_best=${#hz_m} hz_type=$hz_t hz_opts=$hz_o; fi
      ;;
    esac
  done 2>/dev/null </proc/mounts
  [ -n "$hz_type" ] || hz_type=$(stat -f -c %T "$hz_p" 2>/dev/null) || hz_type=
}
# Why no claims can be kept here: hz_why, empty when they can. Looks only.
hz_judge() { # tmpfs is accepted: 1
  hz_why=
  if ! command -v setsid >/dev/null 2>&1; then hz_why="the node has no setsid"; return; fi
  if [ -z "$hz_boot" ] || [ ! -r /proc/$$/stat ]; then hz_why="the node has no readable /proc"; return; fi
  hz_p=$hz_state
  while [ ! -e "$hz_p" ]; do
    hz_p=${hz_p%/*}
    [ -n "$hz_p" ] || hz_p=/
  done
  if [ ! -d "$hz_p" ]; then hz_why="$hz_p is not a directory"; return; fi
  hz_at=$hz_p
  hz_fs "$hz_at"
  case ",$hz_opts," in *,ro,*) hz_why="$hz_at is on a read-only file system"; return ;; esac
  case $hz_type in
  nfs* | cifs | smb* | ceph | fuse.ceph* | fuse.gluster* | glusterfs | fuse.sshfs | fuse.s3fs | lustre | gpfs | gfs | gfs2 | ocfs2 | afs | 9p | v9fs | panfs | beegfs | fhgfs | pvfs* | virtiofs)
    hz_why="$hz_at is on a shared file system ($hz_type)"
    return
    ;;
  tmpfs | ramfs)
    if [ "$1" != 1 ]; then hz_why="$hz_at does not survive a reboot ($hz_type)"; return; fi
    ;;
  esac
  if [ ! -w "$hz_at" ] || [ ! -x "$hz_at" ]; then hz_why="$hz_at is not writable for uid $hz_uid"; fi
}
hz_addresses() {
  if hz_x=$(ip -o addr show 2>/dev/null </dev/null) && [ -n "$hz_x" ]; then
    hz_line "$hz_x" | while read -r hz_x hz_x hz_x hz_a hz_x; do hz_line "address ${hz_a%%/*}"; done
    return
  fi
  hz_a=
  while read -r hz_x hz_y hz_z; do
    case $hz_x in '|--') hz_a=$hz_y ;; /32) case "$hz_y $hz_z" in 'host LOCAL') hz_line "address $hz_a" ;; esac ;; esac
  done 2>/dev/null </proc/net/fib_trie
  while read -r hz_a hz_x; do hz_line "address6 $hz_a"; done 2>/dev/null </proc/net/if_inet6
}
# Read line by line, which is a tenth of what `id` takes.
hz_whoami() { # hz_uid
  hz_uid=
  while read -r hz_x hz_y hz_uid hz_z; do
    [ "$hz_x" != Uid: ] || return 0
  done 2>/dev/null </proc/self/status
  hz_uid=$(id -u)
}
# What is written here of systems: a line of it a line.
hz_registers() {
  for hz_x in "$hz_state"/system.*; do
    [ -f "$hz_x" ] || continue
    hz_y=${hz_x##*/system.}
    while IFS= read -r hz_x; do hz_line "system $hz_y $hz_x"; done 2>/dev/null <"$hz_state/system.$hz_y"
  done
}
hz_hello() { # seq state tmpfs
  hz_state=$2 hz_boot='' hz_id=''
  { read -r hz_boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
  hz_whoami
  hz_judge "$3"
  { read -r hz_id <"$hz_state/id"; } 2>/dev/null
  hz_begin "$1"
  hz_stat $$
  if [ "$hz_pg" = $$ ]; then hz_line "group $$"; fi
  hz_line "boot $hz_boot"
  hz_line "uid $hz_uid"
  hz_line "id $hz_id"
  hz_line "unrecorded $hz_why"
  hz_registers
  hz_addresses
  hz_end "$1" 0
}
