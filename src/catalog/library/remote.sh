port_is_open() {
  # HOST PORT: does it take a connection within 5 seconds? (bash says the same
  # words everywhere, nc has many dialects)
  _r=0
  if command -v bash >/dev/null && command -v timeout >/dev/null; then
    _e=$(timeout 5 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$1" "$2" 2>&1) || _r=$?
  elif command -v nc >/dev/null; then
    _e=$(nc -v -z -w 5 "$1" "$2" 2>&1 </dev/null) || _r=$?
  else
    echo 'neither bash nor nc is there to try the port' >&2; return 126
  fi
  case $_r-$_e in
  0-*) printf 'port %s of %s is open\n' "$2" "$1" ;;
  124-* | 143-* | *imed\ out* | *refused* | *nreachable* | *'o route to host'*)
    printf 'port %s of %s: %s\n' "$2" "$1" "${_e:-no answer in 5 s}" | head -n 1; return 1 ;;
  *) printf '%s\n' "$_e" >&2; return 126 ;;
  esac
}
http_answers() {
  # URL STATUS: does it answer with that status within 10 seconds?
  _r=0
  if command -v curl >/dev/null; then
    _c=$(curl -sS -o /dev/null -m 10 -w '%{http_code}' "$1" 2>&1) || _r=$?
    case $_r in 7 | 28 | 52 | 56) printf 'no answer from %s\n' "$1"; return 1 ;; esac
  elif command -v wget >/dev/null; then
    _c=$(wget -S -O /dev/null -T 10 "$1" 2>&1) || :
    case $_c in
    *HTTP/*) _c=$(printf '%s\n' "$_c" | awk '$1 ~ /^HTTP\// { print $2; exit }') ;;
    *refused* | *imed\ out* | *nreachable*) printf 'no answer from %s\n' "$1"; return 1 ;;
    esac
  else
    echo 'neither curl nor wget is there' >&2; return 126
  fi
  case $_r-$_c in
  0-"$2") printf '%s answers %s\n' "$1" "$_c" ;;
  0-[1-5][0-9][0-9]) printf '%s answers %s, wanted %s\n' "$1" "$_c" "$2"; return 1 ;;
  *) printf '%s\n' "$_c" >&2; return 126 ;;
  esac
}
