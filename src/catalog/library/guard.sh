storage_is_there() {
  # [MOUNT]: ends the script, since nothing can be told, when nothing is
  # mounted there
  [ -n "${1-}" ] || return 0
  _said=$(is_mounted "$1") || { printf '%s: nobody can tell who owns the system\n' "$_said" >&2; exit 126; }
}
machine_id() {
  # prints what this installation calls itself, or `none`
  _m=
  for _f in /etc/machine-id /var/lib/dbus/machine-id; do
    if [ -z "$_m" ] && [ -r "$_f" ]; then read -r _m <"$_f" || :; fi
  done
  printf '%s\n' "${_m:-none}"
}
record_text() {
  # RECORD: prints `absent`, or `present` and the record as it is
  if [ ! -e "$1" ]; then echo absent; return 0; fi
  if [ ! -f "$1" ] || [ ! -r "$1" ]; then printf '%s is no readable file\n' "$1" >&2; exit 126; fi
  echo present
  cat "$1"
}
owns() {
  # RECORD NODE [MOUNT]: does this node own the system? Prints the record
  storage_is_there "${3-}"
  _was=$(record_text "$1") || exit 126
  printf '%s\n' "$_was"
  _own=$(printf '%s\n' "$_was" | awk '$1 == "node" { n = n $2 } $1 == "machine" { m = m $2 } END { print n " " m }')
  case $_own in
  "$2 $(machine_id)") printf '%s owns the system\n' "$2" >&2 ;;
  ' '*) printf 'nobody owns the system, by %s\n' "$1" >&2; return 1 ;;
  "$2 "*) printf 'another installation of %s owns the system\n' "$2" >&2; return 1 ;;
  *) printf '%s owns the system\n' "${_own% *}" >&2; return 1 ;;
  esac
}
disowned() {
  # RECORD NODE [MOUNT]: is this node not the owner? Prints the record
  _r=0; owns "$@" || _r=$?
  case $_r in 0) return 1 ;; 1) ;; *) return "$_r" ;; esac
}
record_write() {
  # RECORD NODE: makes standard input the record, whole or not at all, and
  # lasting
  _d=${1%/*}/ _n=$1.new-$2
  umask 022
  mkdir -p "$_d"
  trap 'rm -f "$_n"' EXIT
  trap 'exit 130' HUP INT TERM
  dd of="$_n" conv=fsync 2>/dev/null
  mv -f "$_n" "$1"
  record_lasts "$1"
}
record_lasts() {
  # RECORD: that it is there, or is no longer, outlives a power cut
  sync "${1%/*}/" "${1%/*}/.." 2>/dev/null || sync
}
own_record() {
  # RECORD NODE [MOUNT]: this node owns the system from now on
  storage_is_there "${3-}"
  printf '%s\n' '# Who owns the system whose data lies here. Elsewhere the boot guard keeps it down.' \
    "node $2" "machine $(machine_id)" "since $(date -u '+%Y-%m-%d %H:%M:%S UTC')" | record_write "$1" "$2"
}
record_back() {
  # RECORD NODE BEFORE [MOUNT]: brings back what `owns` had printed; not when
  # another node owns the system by now. Nothing is written for another node
  # where there is no record any more
  _r=0; _own=$(owns "$1" "$2" "${4-}" 2>&1) || _r=$?
  case $_r-$_own-$3 in
  0-* | 1-absent*"
node $2
"*) ;;
  1-*) printf 'the record is left as it is: %s\n' "${_own##*
}" >&2; exit 0 ;;
  *) printf '%s\n' "$_own" >&2; exit "$_r" ;;
  esac
  case $3 in
  absent*) rm -f "$1"; record_lasts "$1" ;;
  *) printf %s "${3#present?}" | awk '{ print }' | record_write "$1" "$2" ;;
  esac
}
guard_quoted() {
  # TEXT: prints it as one word for the shell
  printf "'%s'\n" "$(printf '%s\n' "$1" | sed "s/'/'\\\\''/g")"
}
guard_script() {
  # NAME RECORD NODE MOUNT: prints what systemd runs before each start
  printf '%s\n' '#!/bin/sh' \
    "# hawiz's boot guard of $1: ends 0 only where the record names this node. No answer is a no." \
    "name=$1 patience=30" "record=$(guard_quoted "$2")" "node=$(guard_quoted "$3")" "mount=$(guard_quoted "$4")" \
    'tell() { printf "%s\n" "$*"; }' \
    'mounted() (
  [ -n "$mount" ] || exit 0
  while read -r id parent device root at rest; do
    case $rest in *" - autofs "*) ;; *) [ "$at" != "$mount" ] || exit 0 ;; esac
  done </proc/self/mountinfo
  exit 1
)
# The storage may come late. Looking at its folder makes an automount begin.
there() {
  [ -d "${record%/*}/" ] || [ -n "$mount" ] || return 1
  mounted
  }'
  guard_script_look
  guard_script_wait
}
guard_script_look() {
  # prints its part that reads the record; it may hang
  printf '%s\n' '# It is killed when it hangs: nothing of it may run in a process of its own.
look() {
  until there; do sleep 1; done
  if [ ! -e "$record" ]; then
    tell "stays down: nobody owns $name, there is no $record. To start it here: hawiz activate --on $node"
    exit 1
  fi
  owner= machine= since= mine=
  while read -r key value; do
    case $key in
    node) owner=$owner$value ;;
    machine) machine=$machine$value ;;
    since) since=$value ;;
    esac
  done <"$record" || { tell "stays down, no answer: $record cannot be read"; exit 1; }
  for file in /etc/machine-id /var/lib/dbus/machine-id; do
    [ -n "$mine" ] || [ ! -r "$file" ] || read -r mine <"$file"
  done
  case "$owner $machine" in
  "$node ${mine:-none}") tell "$node owns $name"; exit 0 ;;
  "$node "*) tell "stays down: another installation of $node owns $name ($record)." \
    "To start it here: hawiz activate --on $node" ;;
  *) tell "stays down: ${owner:-nobody} owns $name${since:+ since $since} ($record)." \
    "To have it here: hawiz failover --to $node" ;;
  esac
  exit 1
  }'
}
guard_script_wait() {
  # prints its part that waits for the look, and not for ever
  printf '%s\n' 'late=
trap "late=1" USR1
look & reader=$!
( trap "kill \$!; exit" TERM; sleep "$patience" & wait $!; kill -USR1 $$ ) & clock=$!
wait "$reader"
code=$?
kill "$clock" 2>/dev/null
if [ -n "$late" ]; then
  kill -KILL "$reader" 2>/dev/null
  why="$record does not answer"
  mounted || why="nothing is mounted on $mount"
  tell "stays down, no answer within $patience s: $why. Start it again when the storage is there"
  code=1
fi
exit "$code"'
}
guard_unit() {
  # NAME MOUNT: prints the unit that runs the script. It waits for the mount
  # and never asks for it: one that the active node alone may have is not
  # mounted by a guard
  printf '%s\n' "# hawiz's boot guard of $1: what only the owner runs requires it. Each start asks anew." '[Unit]' \
    "Description=hawiz boot guard: does this node own $1?" "AssertFileNotEmpty=/etc/hawiz/guard/$1" \
    'StartLimitIntervalSec=0'
  if [ -n "$2" ]; then printf 'After=%s\n' "$(systemd-escape --path --suffix=mount "$2")"; fi
  printf '%s\n' '[Service]' 'Type=oneshot' "ExecStart=/bin/sh /etc/hawiz/guard/$1" 'TimeoutStartSec=60' \
    'TimeoutStopSec=5'
}
guard_units() {
  # UNIT...: prints what systemd calls them: an alias by its own name, and
  # with postgresql the template postgresql@
  for _u in "$@"; do
    case $_u in
    *.service | *.socket | *.target | *.timer | *.path | *.mount | *.automount | *.swap) ;;
    *) _u=$_u.service ;;
    esac
    _i=$(systemctl show -p Id "$_u") || exit 126
    _i=${_i#Id=}
    printf '%s\n' "${_i:-$_u}"
    case ${_i:-$_u} in
    *@*) ;;
    *.service)
      _i=${_i:-$_u} _i=${_i%.service}@.service
      _t=$(systemctl list-unit-files --no-legend --no-pager "$_i" 2>/dev/null) || :
      [ -z "$_t" ] || printf '%s\n' "$_i" ;;
    esac
  done
}
guard_wanted() {
  # NAME RECORD NODE MOUNT UNIT...: prints its files: a path, then the lines,
  # each behind a blank
  _all=$1
  printf '/etc/hawiz/guard/%s\n' "$1"
  guard_script "$1" "$2" "$3" "$4" | sed 's/^/ /'
  printf '/etc/systemd/system/hawiz-guard-%s.service\n' "$1"
  guard_unit "$1" "$4" | sed 's/^/ /'
  shift 4
  _units=$(guard_units "$@") || exit 126
  printf '%s\n' "$_units" | LC_ALL=C sort -u | while read -r _u; do
    printf '%s\n' "/etc/systemd/system/$_u.d/50-hawiz-guard-$_all.conf" " # Starts only where this node owns $_all." \
      ' [Unit]' " Requires=hawiz-guard-$_all.service" " After=hawiz-guard-$_all.service"
  done
}
guard_paths() {
  # NAME: prints the paths of its files that are there
  for _p in "/etc/hawiz/guard/$1" "/etc/systemd/system/hawiz-guard-$1.service" \
    /etc/systemd/system/*.d/"50-hawiz-guard-$1.conf"; do
    [ ! -e "$_p" ] || printf '%s\n' "$_p"
  done
}
guard_found() {
  # NAME: prints its files that are there, as guard_wanted does
  guard_paths "$1" | while read -r _p; do
    printf '%s\n' "$_p"
    sed 's/^/ /' "$_p"
  done
}
guard_loaded() {
  # NAME UNIT...: has systemd read that they require it?
  _all=$1
  shift
  _units=$(guard_units "$@") || exit 126
  for _u in $_units; do
    case $_u in *@.service) continue ;; esac
    _s=$(systemctl show -p LoadState -p Requires "$_u") || exit 126
    case $_s in
    *LoadState=loaded*)
      case "$_s " in
      *"hawiz-guard-$_all.service"*) ;;
      *) printf '%s does not require the guard yet\n' "$_u" >&2; return 1 ;;
      esac ;;
    esac
  done
}
boot_guarded() {
  # NAME RECORD NODE MOUNT UNIT...: is the guard there as wanted? Prints its
  # files. 3: there can be none
  if [ ! -d /run/systemd/system ]; then
    echo 'no boot guard can be had here, without systemd: what is enabled starts whoever owns the system'; return 3
  fi
  guard_found "$1"
  _want=$(guard_wanted "$@") || exit 126
  if [ "$(guard_found "$1")" != "$_want" ]; then
    printf 'the boot guard of %s is not installed, or not for all of these\n' "$1" >&2; return 1
  fi
  _name=$1
  shift 4
  guard_loaded "$_name" "$@" || return 1
  printf 'the boot guard of %s stands before %s\n' "$_name" "$*" >&2
}
boot_guard_stands() {
  # NAME RECORD NODE MOUNT UNIT...: the same, where none is a no
  _r=0; _o=$(boot_guarded "$@") || _r=$?
  if [ "$_r" != 3 ]; then return "$_r"; fi
  printf '%s\n' "$_o"
  return 1
}
guard_lay() {
  # NAME: makes the files on standard input the guard's; another of its files
  # goes
  umask 022
  _new=$(cat)
  for _p in $(printf '%s\n' "$_new" | grep '^/' || :); do
    mkdir -p "${_p%/*}"
    printf '%s\n' "$_new" | _p=$_p awk '/^\// { f = $0 == ENVIRON["_p"]; next } f { print substr($0, 2) }' |
      dd of="$_p.hawiz" conv=fsync 2>/dev/null
    mv -f "$_p.hawiz" "$_p"
  done
  guard_paths "$1" | while read -r _p; do
    if ! printf '%s\n' "$_new" | grep -qxF -e "$_p"; then
      rm -f "$_p"
      case $_p in *.conf) rmdir "${_p%/*}" 2>/dev/null || : ;; esac
    fi
  done
  sync
}
