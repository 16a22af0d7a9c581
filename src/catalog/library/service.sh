service_state() {
  # UNIT: prints its state: a word of systemd's (active, inactive, failed…),
  # absent, or what was not understood
  _s=$(systemctl show -p LoadState -p ActiveState "$1" 2>&1) || :
  case $_s in
  *LoadState=not-found*ActiveState=inactive* | *ActiveState=inactive*LoadState=not-found*) echo absent ;;
  *ActiveState=*) _s=${_s##*ActiveState=}; echo "${_s%%[!a-z]*}" ;;
  *) service_state_otherwise "${1%.service}" "$_s" ;;
  esac
}
service_state_otherwise() {
  # UNIT WORDS: the state without systemd, by OpenRC or the init script; WORDS
  # if there is neither
  _s=$2
  if [ -d /run/systemd/system ]; then : # it is there and did not tell
  elif command -v rc-service >/dev/null; then
    _s=$(rc-service "$1" status 2>&1) || :
    case $_s in
    *'does not exist'*) _s=absent ;;
    *'status: started'*) _s=active ;;
    *'status: starting'*) _s=activating ;;
    *'status: stopping'*) _s=deactivating ;;
    *'status: crashed'*) _s=failed ;;
    *'status: stopped'* | *'status: inactive'*) _s=inactive ;;
    esac
  elif [ -x "/etc/init.d/$1" ]; then
    _r=0; _s=$("/etc/init.d/$1" status 2>&1) || _r=$?
    case $_r-$_s in
    *[Uu]sage:*) ;;
    0-*) _s=active ;;
    3-* | [12]-*dead* | [12]-*stopped* | [12]-*'not running'*) _s=inactive ;;
    esac
  elif [ -d /etc/init.d ] && ! command -v systemctl >/dev/null; then _s=absent
  fi
  printf '%s\n' "$_s"
}
service_is() {
  # active|inactive|known UNIT: 0 yes, 1 no, 3 there is no unit to be stopped,
  # 4 in between
  _is=$(service_state "$2")
  case $_is in
  active | inactive | failed | maintenance) printf '%s is %s\n' "$2" "$_is" ;;
  activating | deactivating | reloading | refreshing) printf '%s is %s\n' "$2" "$_is" ;;
  absent) printf 'there is no unit %s\n' "$2" ;;
  *) printf '%s: not understood: %s\n' "$2" "$_is" >&2; return 126 ;;
  esac
  case $1-$_is in
  known-absent) return 1 ;;
  active-active | inactive-inactive | inactive-failed | known-*) ;;
  inactive-absent) return 3 ;;
  *ing) return 4 ;;
  *) return 1 ;;
  esac
}
service_boot_state() {
  # UNIT: prints enabled, another word of `systemctl is-enabled`, absent, or
  # what was not understood
  _s=$(systemctl is-enabled "$1" 2>&1 | tail -n 1)
  case $_s in
  enabled | enabled-runtime | alias) echo enabled ;;
  disabled | masked* | static | indirect | generated | transient | linked*) echo "$_s" ;;
  not-found | *'No such file or directory'* | *'does not exist'*) echo absent ;;
  *) service_boot_state_otherwise "${1%.service}" "$_s" ;;
  esac
}
service_boot_state_otherwise() {
  # UNIT WORDS: the same without systemd, by OpenRC or the init script's
  # links; WORDS if there is neither
  _s=$2
  if [ -d /run/systemd/system ]; then : # it is there and did not tell
  elif command -v rc-update >/dev/null; then
    if rc-service -e "$1"; then
      _s=$(rc-update show) || exit 126
      _s=$(printf '%s\n' "$_s" | _u=$1 awk '$1 == ENVIRON["_u"] { s = 1 } END { print s ? "enabled" : "disabled" }')
    else _s=absent; fi
  elif [ -x "/etc/init.d/$1" ]; then
    _s=disabled
    for _l in /etc/rc[2-5].d/S[0-9][0-9]"$1" /etc/rc.d/rc[2-5].d/S[0-9][0-9]"$1"; do
      if [ -e "$_l" ]; then _s=enabled; fi
    done
  elif [ -d /etc/init.d ] && ! command -v systemctl >/dev/null; then _s=absent
  fi
  printf '%s\n' "$_s"
}
service_boot_is() {
  # enabled|disabled UNIT: 0 yes, 1 no, 3 there is nothing to disable
  _is=$(service_boot_state "$2")
  case $_is in
  enabled | disabled | masked* | linked*) printf '%s is %s\n' "$2" "$_is" ;;
  static | indirect | generated | transient)
    printf '%s is %s: enabling and disabling do not apply\n' "$2" "$_is" ;;
  absent) printf 'there is no unit %s\n' "$2" ;;
  *) printf '%s: not understood: %s\n' "$2" "$_is" >&2; return 126 ;;
  esac
  case $1-$_is in
  enabled-enabled | disabled-disabled | disabled-masked* | disabled-linked*) ;;
  disabled-enabled | enabled-*) return 1 ;;
  *) return 3 ;;
  esac
}
without_systemd() {
  # VERB UNIT: false where systemd has the unit; else done here by OpenRC or
  # the init script, and the script ends
  case $(systemctl show -p LoadState "$2" 2>&1) in
  *LoadState=not-found*) _by=nobody ;;
  *LoadState=*) return 1 ;;
  *) if command -v rc-service >/dev/null; then _by=openrc
    elif [ -x "/etc/init.d/${2%.service}" ]; then _by=init
    else _by=nobody; fi ;;
  esac
  set -- "$1" "${2%.service}"
  case $_by-$1 in
  nobody-*) printf 'there is no unit %s\n' "$2" >&2; exit 125 ;;
  openrc-enable) rc-update add "$2" default ;;
  openrc-disable) rc-update -a del "$2" ;;
  openrc-*) rc-service "$2" "$1" ;;
  init-enable) if command -v chkconfig >/dev/null; then chkconfig "$2" on; else update-rc.d "$2" enable; fi ;;
  init-disable) if command -v chkconfig >/dev/null; then chkconfig "$2" off; else update-rc.d "$2" disable; fi ;;
  *) service "$2" "$1" ;;
  esac
  exit
}
