mount_of() {
  # PATH: prints SOURCE TYPE OPTIONS of what is mounted on it, or nothing. An
  # automount trigger is no mount
  if command -v findmnt >/dev/null; then
    _r=0; _m=$(findmnt -rn -o SOURCE,FSTYPE,OPTIONS -M "$1" 2>&1) || _r=$?
    case $_r-$_m in
    1-) ;;
    0-?*) _m=$(printf '%s\n' "$_m" | tail -n 1) ;;
    *) printf '%s\n' "$_m" >&2; exit 126 ;;
    esac
  else
    _p=$(readlink -f "$1") || exit 126
    _m=$(_p=$_p awk '{ p = $5; gsub(/\\040/, " ", p) }
      p == ENVIRON["_p"] { for (i = 7; $i != "-"; i++); m = $(i + 2) " " $(i + 1) " " $(i + 3) "," $6 }
      END { print m }' /proc/self/mountinfo) || exit 126
  fi
  case $_m in *' autofs '*) ;; *) printf '%s\n' "$_m" ;; esac
}
is_mounted() {
  # PATH [SOURCE]: is it a mount point, of that source?
  _mt=$(mount_of "$1") || exit 126
  if [ -z "$_mt" ]; then printf '%s is not a mount point\n' "$1"; return 1; fi
  if [ -n "${2-}" ]; then
    case ${_mt%% *} in
    "$2" | *"[$2]") ;;
    *) if [ -z "$(findmnt -rn -o SOURCE -S "$2" -M "$1" 2>/dev/null)" ]; then
        printf '%s is mounted from %s, not from %s\n' "$1" "${_mt%% *}" "$2"; return 1
      fi ;;
    esac
  fi
  printf '%s is mounted from %s\n' "$1" "${_mt%% *}"
}
is_mounted_rw() {
  # PATH [SOURCE]: is it mounted, and may it be written?
  _said=$(is_mounted "$@") || { _r=$?; printf '%s\n' "$_said"; exit "$_r"; }
  _mt=$(mount_of "$1") || exit 126
  case ,${_mt##* }, in *,ro,*) printf '%s is mounted read-only\n' "$1"; return 1 ;; esac
  if [ ! -w "$1" ]; then printf '%s is mounted but may not be written\n' "$1"; return 1; fi
  printf '%s\n' "$_said"
}
is_unmounted() {
  # PATH: is nothing mounted on it? If something is: prints SOURCE TYPE
  # OPTIONS
  _mt=$(mount_of "$1") || exit 126
  if [ -z "$_mt" ]; then printf '%s is not mounted\n' "$1"; return 0; fi
  printf '%s\n' "$_mt"
  return 1
}
nothing_mounted() {
  # PATH: ends the script when something is mounted on it
  _mt=$(findmnt -rn -o SOURCE -M "$1") || :
  if [ -n "$_mt" ]; then printf '%s is mounted already, from %s\n' "$1" "$_mt" >&2; exit 125; fi
}
mount_again() {
  # PATH WHAT: mounts it by /etc/fstab, else WHAT (SOURCE TYPE OPTIONS, spaces
  # escaped). A part of a file system (/dev/sdb1[/dir]) has no source one
  # could name
  if _p=$1 awk '$2 == ENVIRON["_p"] { f = 1 } END { exit !f }' /etc/fstab; then mount "$1"; exit; fi
  _m=$(printf '%s\n' "$2" | sed 's/\\x20/ /g; s/\\040/ /g')
  _o=${_m##* }; _m=${_m% *}; _t=${_m##* }; _s=${_m% *}
  case $_s in *']') printf 'mount it by hand: %s is part of %s\n' "$1" "$_s" >&2; exit 125 ;; esac
  mount -t "$_t" -o "$_o" "$_s" "$1"
}
leads_to() {
  # PATH TO: does it, links followed, end up there?
  readlink -f / >/dev/null || exit 126
  if [ ! -e "$1" ]; then printf '%s does not exist, or leads nowhere\n' "$1"; return 1; fi
  _p=$(readlink -f "$1") || exit 126
  _t=$(readlink -f "$2") || _t=
  if [ "$_p" != "$_t" ]; then printf '%s leads to %s, not to %s\n' "$1" "$_p" "$2"; return 1; fi
  printf '%s leads to %s\n' "$1" "$_p"
}
is_link() {
  # PATH TO: is it a link that leads there? If not: prints what is there, and
  # the name it will be kept under
  readlink -f / >/dev/null || exit 126
  if [ -L "$1" ] && [ -e "$2" ] && [ "$(readlink -f "$1")" = "$(readlink -f "$2")" ]; then
    printf '%s is a link to %s\n' "$1" "$2"; return 0
  fi
  if [ -L "$1" ]; then _k=link; elif [ -d "$1" ]; then _k=directory; elif [ -e "$1" ]; then _k=file
  else echo absent; return 1; fi
  printf '%s, to be kept as %s\n' "$_k" "$(name_aside "$1")"
  return 1
}
name_aside() {
  # PATH: prints the first of PATH.hawiz-bak, PATH.hawiz-bak.1, … that is not
  # there
  _b=$1.hawiz-bak _n=1
  while [ -e "$_b" ] || [ -L "$_b" ]; do _b=$1.hawiz-bak.$_n; _n=$((_n + 1)); done
  printf '%s\n' "$_b"
}
move_aside() {
  # PATH TO: makes room for a link to TO, which must exist
  if [ ! -e "$2" ]; then printf '%s does not exist\n' "$2" >&2; exit 125; fi
  _kept=
  if [ -e "$1" ] || [ -L "$1" ]; then _kept=$(name_aside "$1"); mv "$1" "$_kept"; fi
}
move_back() {
  # PATH: what move_aside did, undone; the script has failed
  [ -z "$_kept" ] || mv "$_kept" "$1"
  exit 1
}
link_undone() {
  # PATH TO WORDS: removes the link and brings back what is_link said was
  # there
  if [ -L "$1" ] && [ "$(readlink "$1")" = "$2" ]; then rm "$1"
  elif [ -e "$1" ] || [ -L "$1" ]; then
    printf '%s is no longer the link that was made: left alone\n' "$1" >&2; exit 125
  fi
  case $3 in
  *', to be kept as '*)
    _b=$(printf '%s' "${3#*, to be kept as }")
    mv "$_b" "$1" ;;
  esac
}
is_writable() {
  # PATH: may it be written? (`test -w` alone does not see a read-only file
  # system in every shell)
  if [ ! -e "$1" ]; then printf '%s does not exist\n' "$1"; return 1; fi
  _o=
  if command -v findmnt >/dev/null; then _o=$(findmnt -rn -o OPTIONS -T "$1") || _o=; fi
  case ,$_o, in *,ro,*) printf '%s lies on a read-only file system\n' "$1"; return 1 ;; esac
  if [ ! -w "$1" ]; then printf '%s may not be written\n' "$1"; return 1; fi
  printf '%s can be written\n' "$1"
}
