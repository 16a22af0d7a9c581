clock_is_right() {
  # is the clock synchronised, by the word of one of its keepers?
  _no=
  if command -v chronyc >/dev/null; then
    case $(chronyc -n tracking 2>&1) in
    *'Not synchronised'*) _no='chronyc: not synchronised' ;;
    *'Leap status     : '*) echo 'chronyc: synchronised'; return 0 ;;
    esac
  fi
  if command -v ntpstat >/dev/null; then
    _o=$(ntpstat 2>&1) || :
    case $_o in
    unsynchronised*) _no='ntpstat: unsynchronised' ;;
    synchronised*) printf '%s\n' "$_o" | head -n 1; return 0 ;;
    esac
  fi
  clock_is_right_by_others
}
clock_is_right_by_others() {
  # clock_is_right, where neither chronyc nor ntpstat says yes
  if command -v ntpq >/dev/null; then
    case $(ntpq -pn 2>&1) in
    *remote*refid*'
*'*) echo 'ntpq: synchronised to a peer'; return 0 ;;
    *remote*refid*) _no='ntpq: no peer is chosen' ;;
    esac
  fi
  if command -v timedatectl >/dev/null; then
    case $(timedatectl show -p NTPSynchronized 2>/dev/null || timedatectl status 2>&1) in
    *NTPSynchronized=yes* | *'ynchronized: yes'*) echo 'timedatectl: synchronised'; return 0 ;;
    *NTPSynchronized=no* | *'ynchronized: no'*) _no='timedatectl: not synchronised' ;;
    esac
  fi
  if [ -z "$_no" ]; then echo 'no chronyc, ntpstat, ntpq or timedatectl told anything' >&2; return 126; fi
  printf '%s\n' "$_no"
  return 1
}
process_runs() {
  # NAME: does a process of this name run? The kernel keeps 15 characters of
  # it
  _n=$(printf %.15s "$1")
  if command -v pgrep >/dev/null; then
    _q=$(printf '%s\n' "$_n" | sed 's/[.+]/\\&/g')
    _r=0; _o=$(pgrep -x "$_q" 2>&1) || _r=$?
    case $_r-$_o in 0-*) _o=$(echo $_o) ;; 1-) ;; *) printf '%s\n' "$_o" >&2; return 126 ;; esac
  else
    _o=$(ps -e -o pid= -o comm=) || exit 126
    _r=0
    _o=$(printf '%s\n' "$_o" | _n=$_n awk '
      $2 == ENVIRON["_n"] { printf "%s ", $1; f = 1 } END { exit !f }') || _r=1
  fi
  if [ "$_r" = 1 ]; then printf 'no process %s\n' "$1"; return 1; fi
  printf 'process %s: %s\n' "$1" "$_o"
}
package_is_installed() {
  # NAME: by the word of rpm or dpkg
  _no=
  if command -v rpm >/dev/null; then
    _o=$(rpm -q "$1" 2>&1) || :
    case $_o in *'not installed'*) _no=rpm ;; error* | '') ;; *) printf '%s is installed\n' "$_o"; return 0 ;; esac
  fi
  if command -v dpkg-query >/dev/null; then
    _o=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n' "$1" 2>&1) || :
    case $_o in
    ?i*) printf '%s is installed\n' "${_o#* }"; return 0 ;;
    *'no packages found'* | ?[nc]*) _no=dpkg ;;
    esac
  fi
  if [ -z "$_no" ]; then printf 'neither rpm nor dpkg told anything: %s\n' "${_o-}" >&2; return 126; fi
  printf 'package %s is not installed (%s)\n' "$1" "$_no"
  return 1
}
hostname_is() {
  # NAME: does the node answer to it?
  _h=$(hostname) || exit 126
  printf '%s\n' "$_h"
  [ "$_h" = "$1" ]
}
