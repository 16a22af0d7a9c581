ocf_env() {
  # PROVIDER TYPE INSTANCE [NAME=VALUE]...: what an OCF agent finds in its
  # environment. An interval of 0 makes `monitor` a probe: "is it here?"
  export OCF_ROOT=/usr/lib/ocf OCF_RA_VERSION_MAJOR=1 OCF_RA_VERSION_MINOR=1 OCF_CHECK_LEVEL=0
  export OCF_RESOURCE_PROVIDER="$1" OCF_RESOURCE_TYPE="$2" OCF_RESOURCE_INSTANCE="$3" OCF_RESKEY_CRM_meta_interval=0
  shift 3
  for _p; do export "OCF_RESKEY_$_p"; done
}
ocf_meaning() {
  # CODE: prints what the exit code of an OCF agent means
  case $1 in
  1) echo error ;; 2) echo 'wrong arguments' ;; 3) echo 'not implemented' ;; 4) echo 'not allowed' ;;
  5) echo 'not installed' ;; 6) echo 'not configured' ;; 7) echo 'not running' ;; 9) echo 'failed as promoted' ;;
  190) echo 'running, degraded' ;; 191) echo 'promoted, degraded' ;; *) echo 'not a code of OCF' ;;
  esac
}
ocf_said() {
  # AGENT ACTION CODE TEXT: prints the text, and in one line what the agent
  # said: its reason if it gave one, else its last line
  _l=$(printf '%s\n' "$4" | awk '{ l = $0 } sub(/^ocf-exit-reason:/, "") { r = $0 } END { print r == "" ? l : r }')
  if [ -n "$4" ]; then printf '%s\n' "$4"; fi
  printf '%s %s: %s, %s%s\n' "${1##*/}" "$2" "$3" "$(ocf_meaning "$3")" "${_l:+: $_l}"
}
ocf_runs() {
  # AGENT: does `monitor` say that it runs? Only 7 is no
  if [ ! -x "$1" ]; then printf 'there is no agent %s\n' "$1" >&2; exit 126; fi
  _r=0; _o=$("$1" monitor 2>&1 </dev/null) || _r=$?
  case $_r in
  0) printf '%s runs\n' "${1##*/}" ;;
  8) printf '%s runs, promoted\n' "${1##*/}" ;;
  7) printf '%s does not run\n' "${1##*/}"; return 1 ;;
  *) ocf_said "$1" monitor "$_r" "$_o" >&2; exit 126 ;;
  esac
}
ocf_stopped() {
  # AGENT: does `monitor` say that it does not run?
  if ocf_runs "$1"; then return 1; fi
}
ocf_fits() {
  # AGENT: ends the script when `validate-all` refuses what it is given. An
  # agent that has no such action is let through
  if [ ! -x "$1" ]; then printf 'there is no agent %s\n' "$1" >&2; exit 125; fi
  _r=0; _o=$("$1" validate-all 2>&1 </dev/null) || _r=$?
  case $_r in 0 | 3) ;; *) ocf_said "$1" validate-all "$_r" "$_o" >&2; exit 125 ;; esac
}
