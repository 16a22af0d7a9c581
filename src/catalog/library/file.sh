file_before() {
  # FILE: prints `absent`, or `present` and the very bytes: what an undo needs
  if [ ! -e "$1" ]; then echo absent; printf '%s does not exist\n' "$1" >&2; exit 1; fi
  if [ ! -f "$1" ] || [ ! -r "$1" ]; then printf '%s is no readable file\n' "$1" >&2; exit 126; fi
  echo present
  cat "$1"
}
file_open() {
  # FILE: $_f is its real name, $_d a folder beside it (so that room is tried)
  # with its text in `now`
  _f=$(readlink -f "$1")
  _d=$(mktemp -d "${_f%/*}/.hawiz.XXXXXX" 2>/dev/null || mktemp -d)
  trap 'rm -rf "$_d"' EXIT
  trap 'exit 130' HUP INT TERM
  if [ -e "$_f" ]; then cat "$_f" >"$_d/now"; else : >"$_d/now"; fi
}
file_write() {
  # writes $_d/new in place, so that owner, mode, links and context stay
  cat "$_d/new" >"$_f" || { cat "$_d/now" >"$_f"; exit 1; }
}
file_edit() {
  # FILE EDITOR WORD...: the file as the editor prints it
  file_open "$1"
  _edit=$2
  shift 2
  "$_edit" "$_d/now" "$@" >"$_d/new"
  file_write
}
file_restore() {
  # FILE BEFORE EDITOR UNEDITOR WORD...: the very bytes of file_before; only
  # our part goes if somebody changed it since
  file_open "$1"
  _was=$2 _edit=$3 _unedit=$4
  shift 4
  printf %s "${_was#present?}" >"$_d/old"
  case $_was in absent*) [ -e "$_f" ] || exit 0; : >"$_d/old" ;; esac
  "$_edit" "$_d/old" "$@" >"$_d/made"
  if cmp -s "$_d/made" "$_d/now"; then
    case $_was in absent*) rm "$_f"; exit ;; esac
    cat "$_d/old" >"$_d/new"
  else
    echo 'note: changed by somebody since; only our own part is taken out' >&2
    "$_unedit" "$_d/old" "$_d/now" "$@" >"$_d/new"
  fi
  file_write
}
has_line() {
  # FILE LINE: has it the line, the whole of it?
  if [ ! -e "$1" ]; then printf '%s does not exist\n' "$1" >&2; return 1; fi
  _r=0; grep -qxF -e "$2" "$1" || _r=$?
  case $_r in
  0) printf '%s has the line\n' "$1" >&2 ;;
  1) printf '%s does not have the line\n' "$1" >&2; return 1 ;;
  *) return 126 ;;
  esac
}
line_with() {
  # FILE LINE: the text and the line
  _l=$2 awk '{ print } END { print ENVIRON["_l"] }' "$1"
}
line_without() {
  # OLD FILE LINE: the text without the last such line
  _l=$3 awk '{ a[NR] = $0 } $0 == ENVIRON["_l"] { k = NR }
    END { for (i = 1; i <= NR; i++) if (i != k) print a[i] }' "$2"
}
hosts_has() {
  # FILE ADDRESS NAME...: has it these names, and no other address before it?
  # Of lines and addresses the first counts
  _file=$1 _addr=$2
  shift 2
  _a=$_addr _n=$* awk '{ sub(/#.*/, "") } NF > 1 && ($1 ~ /:/) == (ENVIRON["_a"] ~ /:/) {
      if (tolower($1) == tolower(ENVIRON["_a"]) && !seen++) for (i = 2; i <= NF; i++) mine[tolower($i)] = 1
      for (i = 2; i <= NF; i++) if (!(tolower($i) in of)) of[tolower($i)] = tolower($1)
    }
    END { n = split(ENVIRON["_n"], w, " ")
      for (i = 1; i <= n; i++) { k = tolower(w[i])
        if (!(k in mine)) { print w[i] " is not a name of " ENVIRON["_a"]; exit 1 }
        if (of[k] != tolower(ENVIRON["_a"])) { print w[i] " is first a name of " of[k]; exit 1 } }
      print ENVIRON["_a"] " has its names" }' "$_file" >&2
}
hosts_not_taken() {
  # FILE ADDRESS NAME...: ends the script when the file gives one of the names
  # to another address
  [ -e "$1" ] || return 0
  _file=$1 _addr=$2
  shift 2
  _a=$_addr _n=$* awk '{ l = $0; sub(/#.*/, "") }
    NF > 1 && ($1 ~ /:/) == (ENVIRON["_a"] ~ /:/) && tolower($1) != tolower(ENVIRON["_a"]) {
      n = split(tolower(ENVIRON["_n"]), w, " ")
      for (i = 2; i <= NF; i++) for (j = 1; j <= n; j++) if (tolower($i) == w[j]) {
        print "line " NR " gives this name to another address: " l; bad = 1; exit } }
    END { exit bad ? 125 : 0 }' "$_file" >&2
}
hosts_with() {
  # FILE ADDRESS NAME...: the text in which the address has these names
  _file=$1 _addr=$2
  shift 2
  _a=$_addr _n=$* awk '{ l = $0; c = ""
      if (match(l, /[ \t]*#/)) { c = substr(l, RSTART); l = substr(l, 1, RSTART - 1) }
      k = split(l, f, " ") }
    k > 1 && tolower(f[1]) == tolower(ENVIRON["_a"]) && !done++ {
      n = split(ENVIRON["_n"], w, " ")
      for (i = 1; i <= n; i++) { had = 0; for (j = 2; j <= k; j++) if (tolower(f[j]) == tolower(w[i])) had = 1
        if (!had) l = l " " w[i] }
      print l c; next }
    { print }
    END { if (!done) print ENVIRON["_a"] " " ENVIRON["_n"] }' "$_file"
}
hosts_without() {
  # OLD FILE ADDRESS NAME...: the text without those of the names that the
  # address did not have in OLD
  _old=$1 _file=$2 _addr=$3
  shift 3
  _a=$_addr _n=$* awk '{ l = $0; sub(/#.*/, ""); me = NF > 1 && tolower($1) == tolower(ENVIRON["_a"]) }
    old { if (me && !first++) for (i = 2; i <= NF; i++) had[tolower($i)] = 1; next }
    !me { print l; next }
    { n = split(tolower(ENVIRON["_n"]), w, " "); s = $1; cut = 0
      for (i = 2; i <= NF; i++) { ours = 0
        for (j = 1; j <= n; j++) if (tolower($i) == w[j] && !($i in had)) ours = 1
        if (ours) cut = 1; else s = s " " $i }
      c = match(l, /#/) ? " " substr(l, RSTART) : ""
      if (!cut) print l; else if (s != $1) print s c }' old=1 "$_old" old=0 "$_file"
}
nameserver_is() {
  # FILE ADDRESS: is it one of the first three name servers?
  _a=$2 awk '$1 == "nameserver" { n++; if ($2 == ENVIRON["_a"]) { f = n; exit } }
    END { if (!f) { print "not among the name servers"; exit 1 }
      if (f > 3) { print "only name server " f ", and three are used"; exit 1 }
      print "name server " f }' "$1" >&2
}
nameserver_with() {
  # FILE ADDRESS: the text in which it is the first name server
  case $_f in /run/*) printf 'note: %s is kept by another program, which may write it anew\n' "$_f" >&2 ;; esac
  _a=$2 awk '$1 == "nameserver" && !done++ { print "nameserver " ENVIRON["_a"] } { print }
    END { if (!done) print "nameserver " ENVIRON["_a"] }' "$1"
}
nameserver_without() {
  # OLD FILE ADDRESS: the text without its first such name server
  _a=$3 awk '$1 == "nameserver" && $2 == ENVIRON["_a"] && !done++ { next } { print }' "$2"
}
