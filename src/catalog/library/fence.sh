agent_is_here() {
  # AGENT: is this fence agent installed on this machine?
  if command -v "$1"; then return 0; fi
  printf '%s is not installed here: it is nowhere on PATH\n' "$1"
  return 1
}
power_is_off() {
  # AGENT, its options on stdin: does the device say off? Only exit code 2 and
  # the word are an off, 0 is on, all else is not known
  _r=0
  _o=$("$1") || _r=$?
  _w=$(printf '%s\n' "$_o" | tr '[:upper:]' '[:lower:]' | tr -cs '[:lower:]' ' ')
  case $_r-\ $_w\  in
  2-*\ on\ *) ;;
  0-*\ off\ *) ;;
  2-*\ off\ *) printf '%s says: %s\n' "$1" "$_o"; return 0 ;;
  0-*) printf '%s says the power is on: %s\n' "$1" "$_o"; return 1 ;;
  esac
  printf '%s does not tell (exit %s): %s\n' "$1" "$_r" "${_o:-nothing printed}" >&2
  return 126
}
