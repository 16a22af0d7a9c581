# Who is there: the part of the session that greets. It comes first in every session; over SSH it travels alone before that,
# in the command that sshd is asked to run, so that the greeting comes back with sshd's own answer.
#
LC_ALL=C
export LC_ALL
cd / 2>/dev/null
for hz_x in /usr/local/sbin /usr/sbin /sbin; do
  case ":${PATH-}:" in
  *":$hz_x:"*) ;;
  *) PATH=${PATH:+$PATH:}$hz_x ;;
  esac
done
export PATH
hz_umask=$(umask)
hz_nl='
'

# Data travels as %b escapes in printable characters. mksh has no printf of its own, and a foreign one would put the data
# into an argv; its print knows the same escapes.
hz_lib='
if [ -n "${KSH_VERSION-}" ]; then
hz_put() { print -n -- "$1"; }
hz_line() { print -r -- "$1"; }
else
hz_put() { printf %b "$1"; }
hz_line() { printf "%s\n" "$1"; }
fi
'
eval "$hz_lib"
hz_setsid=
if command -v setsid >/dev/null 2>&1; then hz_setsid=setsid; fi

hz_begin() {
  echo "@$hz_n.$1<"
}
hz_end() {
  echo "@$hz_n.$1>$2"
}

# --- who is there ----------------------------------------------------------------------------------------------------
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
  if [ -z "$hz_setsid" ]; then hz_why="the node has no setsid"; return; fi
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
hz_know() { # state tmpfs
  hz_state=$1 hz_boot='' hz_ns='' hz_id=''
  { read -r hz_boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
  hz_ns=$(ls -l /proc/self/ns/pid 2>/dev/null)
  hz_ns=${hz_ns##*\[}
  hz_ns=${hz_ns%\]*}
  hz_uid=$(id -u)
  hz_nap=1
  if sleep 0.001 2>/dev/null; then hz_nap=0.1; fi
  hz_judge "$2"
  { read -r hz_id <"$hz_state/id"; } 2>/dev/null
}
hz_hello() { # seq state tmpfs
  hz_know "$2" "$3"
  hz_begin "$1"
  hz_stat $$
  if [ "$hz_pg" = $$ ]; then hz_line "group $$"; fi
  hz_line "boot $hz_boot"
  hz_line "uid $hz_uid"
  hz_line "id $hz_id"
  hz_line "unrecorded $hz_why"
  hz_addresses
  hz_end "$1" 0
}
hz_stat() { # pid: hz_st state, hz_pg group, hz_t0 start time
  hz_x=
  { read -r hz_x <"/proc/$1/stat"; } 2>/dev/null
  [ -n "$hz_x" ] || return 1
  set -- ${hz_x##*) }
  hz_st=$1 hz_pg=$3 hz_t0=${20}
}
