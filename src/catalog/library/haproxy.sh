haproxy_ask() {
  # SOCKET COMMAND: what HAProxy answers on its stats socket; 126: nobody answers
  _r=0
  if command -v socat >/dev/null; then
    _o=$(printf '%s\n' "$2" | socat -t 5 - "UNIX-CONNECT:$1" 2>&1) || _r=$?
  elif command -v python3 >/dev/null; then
    _o=$(python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b"\n"); sys.stdout.writelines(iter(lambda: s.recv(65536).decode(), ""))' \
      "$1" "$2" 2>&1) || _r=$?
  elif command -v nc >/dev/null; then
    _o=$(printf '%s\n' "$2" | nc -U -w 5 "$1" 2>&1) || _r=$?
  else
    echo 'neither socat nor python3 nor nc is there to ask HAProxy' >&2; return 126
  fi
  case $_r-$_o in
  0-'Permission denied'* | 0-*'Unknown command'* | 0-*Traceback* | [!0]*)
    printf '%s: %s\n' "$1" "$_o" | tail -n 1 >&2; return 126 ;;
  esac
  printf '%s\n' "$_o"
}
haproxy_tell() {
  # SOCKET WORD...: gives an order; HAProxy is silent when it has obeyed
  _socket=$1
  shift
  set -- $* # one line, whatever line ends the words bring along
  _said=$(haproxy_ask "$_socket" "$*") || return $?
  [ -z "$_said" ] || { printf '%s\n' "$_said" >&2; return 1; }
}
haproxy_rows() {
  # SOCKET BACKEND: its servers, a line each: NAME OPERATIONAL ADMINISTRATIVE
  # WEIGHT ADDRESS PORT, as HAProxy has them; 126: there is no such backend
  _rows=$(haproxy_ask "$1" "show servers state $2") || return $?
  case $_rows in
  1"
"*) printf '%s\n' "$_rows" | awk 'NR > 2 && NF > 14 { print $4, $6, $7, $8, $5, $19 }' ;;
  *) printf '%s: %s\n' "$2" "$_rows" >&2; return 126 ;;
  esac
}
haproxy_sessions() {
  # SOCKET BACKEND SERVER: how many sessions it has, and how many wait for it
  _stat=$(haproxy_ask "$1" "show stat") || return $?
  printf '%s\n' "$_stat" | awk -F , -v b="$2" -v s="$3" '
    $1 == b && $2 == s { print $5, $3; found = 1; exit }
    END { if (!found) exit 126 }'
}
haproxy_is() {
  # WHAT SOCKET BACKEND SERVER: up, down, drained or out (in maintenance)?
  # Prints what may be said to `set server … state` to have it as it is now.
  _rows=$(haproxy_rows "$2" "$3") || return $?
  _row=$(printf '%s\n' "$_rows" | awk -v s="$4" '$1 == s { print $2, $3, $4 }')
  if [ -z "$_row" ]; then echo "no server $4 in $3" >&2; return 126; fi
  _what=$1 _who="$4 in $3"
  set -- $_row
  _is=ready
  [ $(($2 & 24)) = 0 ] || _is=drain
  [ $(($2 & 103)) = 0 ] || _is=maint
  case $1 in 0) _runs=down ;; 1) _runs=starting ;; 2) _runs=up ;; *) _runs=stopping ;; esac
  printf '%s\n' "$_is"
  echo "$_who: $_is, $_runs, weight $3" >&2
  case $_what-$_is-$_runs in
  up-ready-starting | up-ready-stopping) return 4 ;;
  up-ready-up) [ "$3" != 0 ] ;;
  down-*-down | drained-drain-* | drained-maint-* | out-maint-*) ;;
  *) return 1 ;;
  esac
}
haproxy_spare() {
  # SOCKET BACKEND SERVER: is another server of the backend up, and does it take
  # a connection now? (Of one that has just died the health check knows nothing
  # yet.) Asked here; one that has no port of its own is believed
  _rows=$(haproxy_rows "$1" "$2") || return $?
  _up=$(printf '%s\n' "$_rows" | awk -v s="$3" '$1 != s && $2 == 2 && $3 == 0 && $4 > 0 { print $1 "@" $5 "@" $6 }')
  if [ -z "$_up" ]; then echo "no server but $3 is up in $2" >&2; return 1; fi
  _spare=''
  for _one in $_up; do
    _name=${_one%%@*} _at=${_one#*@} _r=0
    case $_at in
    [0-9a-f]*@[1-9]*) _said=$(port_is_open "${_at%@*}" "${_at#*@}" 2>&1) || _r=$? ;;
    esac
    case $_r in
    0) _spare="$_spare $_name" ;;
    1) echo "HAProxy has $_name in $2 for up, but $_said" >&2 ;;
    *) printf '%s\n' "$_said" >&2; return 126 ;;
    esac
  done
  if [ -z "$_spare" ]; then echo "no server but $3 serves in $2" >&2; return 1; fi
  echo "up in $2 besides $3:$_spare" >&2
}
haproxy_idle() {
  # SOCKET BACKEND SERVER: has it no session left?
  _left=$(haproxy_sessions "$1" "$2" "$3") || return $?
  echo "$3 in $2: sessions and waiting: $_left" >&2
  [ "$_left" = "0 0" ]
}
haproxy_checks() {
  # SOCKET BACKEND SERVER: has it that server, and does it check its health?
  _rows=$(haproxy_ask "$1" "show servers state $2") || return $?
  printf '%s\n' "$_rows" | awk -v b="$2" -v s="$3" '$4 == s && NF > 14 { there = 1; checked = int($14 / 2) % 2 }
    END { print s " in " b ": " (checked ? "health is checked" : there ? "health is not checked" : "not there")
      exit !checked }' >&2
}
haproxy_servers() {
  # CONFIG BACKEND: the backend's servers as they stand there, a line each: NAME PORT
  awk -v b="$2" '
    $1 ~ /^(backend|listen)$/ { here = $2 == b; next }
    $1 ~ /^(global|defaults|frontend|peers|resolvers|mailers|ring|log-forward)$/ { here = 0 }
    here && $1 == "server" { n = split($3, at, ":"); print $2, at[n] }' "$1" || return 126
}
haproxy_keep() {
  # SOCKET BACKEND FOLDER [CONFIG]: writes down which servers of the backend are
  # out of service, for HAProxy to read when it starts. With CONFIG: as that has
  # their ports (those in the file would win), and only if it leaves one in service
  _state=$(haproxy_ask "$1" "show servers state $2") || return $?
  case $_state in
  1"
"*) ;;
  *) _state=1 ;; # there is no such backend yet
  esac
  _ports=''
  [ -z "${4-}" ] || _ports=$(haproxy_servers "$4" "$2") || return $?
  mkdir -p "$3" && _new=$(mktemp "$3/$2.XXXXXX") || return 1
  { printf '%s\n' "$_ports" | sed 's/^./at &/'; printf '%s\n' "$_state"; } | awk -v b="$2" '
    $1 == "at" { port[$2] = $3; all++; next }
    NF < 15 || /^#/ { if (NF) print; next }
    $7 % 2 || int($7 / 8) % 2 { if ($4 in port) { $19 = port[$4]; out++ } print }
    END { if (all && out == all) { print "all servers of " b " are out of service" | "cat >&2"; exit 1 } }' >"$_new" &&
    chmod 644 "$_new" && mv -f "$_new" "$3/$2.state" || { rm -f "$_new"; return 1; }
}
haproxy_kept() {
  # SOCKET BACKEND FOLDER [SERVER]: does it stand there which of the backend's
  # servers (whether this one) are out of service?
  _rows=$(haproxy_rows "$1" "$2") || return $?
  _kept=''
  [ ! -e "$3/$2.state" ] || _kept=$(cat "$3/$2.state") || return 126
  printf '%s\n%s\n' "$_kept" "$_rows" | awk -v b="$2" -v s="${4-}" '
    function out(n) { return n % 2 + int(n / 8) % 2 * 8 }
    NF > 14 { kept[$4] = out($7) }
    NF < 5 || NF > 14 || s != "" && $1 != s { next }
    out($3) != kept[$1] + 0 { print "of " $1 " in " b " something else is kept"; no = 1 }
    END { exit no + 0 }' >&2
}
haproxy_runs() {
  # SOCKET CONFIG SIGN: does it run what stands in CONFIG? One of its backends is
  # there for its name only: SIGN, and something that differs with the rest
  _sign=$(awk -v s="$3" '$1 == "backend" && index($2, s) == 1 { print $2 }' "$2") || return 126
  if [ -z "$_sign" ]; then echo "no backend in $2 has a name that begins with $3" >&2; return 126; fi
  _stat=$(haproxy_ask "$1" "show stat") || return $?
  printf '%s\n' "$_stat" | awk -F , -v n="$_sign" '$1 == n { found = 1 } END { exit !found }' && return
  echo "HAProxy runs by another configuration than $2" >&2
  return 1
}
