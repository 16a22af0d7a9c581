pg_answers() {
  # HOST: does PostgreSQL take connections there? 4: it is starting up
  _r=0; _o=$(pg_isready -h "$1" 2>&1) || _r=$?
  case $_r in
  0) printf '%s\n' "$_o" ;;
  1) printf '%s\n' "$_o"; return 4 ;;
  2) printf '%s\n' "$_o"; return 1 ;;
  *) printf '%s\n' "$_o" >&2; return 126 ;;
  esac
}
listen_awk() {
  # awk: v = the value of listen_addresses that counts, at = its line (0:
  # none), key and tail = the text around it
  printf %s '{ a[NR] = $0 }
    tolower($0) ~ /^[ \t]*listen_addresses[ \t=]/ { at = NR; match($0, /^[ \t]*[A-Za-z_]+[ \t]*=?[ \t]*/)
      key = substr($0, 1, RLENGTH); r = substr($0, RLENGTH + 1)
      if (match(r, /^\047[^\047]*\047/)) v = substr(r, 2, RLENGTH - 2)
      else { match(r, /^[^ \t#]*/); v = substr(r, 1, RLENGTH) }
      tail = substr(r, RLENGTH + 1) }
    function has(list, x,   n, i, w) { n = split(tolower(list), w, /[ \t]*,[ \t]*/)
      for (i = 1; i <= n; i++) { gsub(/^[ \t]+|[ \t]+$/, "", w[i])
        if (w[i] == tolower(x) || w[i] == "*") return 1
        if (w[i] == "0.0.0.0" && x ~ /^[0-9.]+$/ || w[i] == "::" && x ~ /:/) return 1 }
      return 0 }
    function value() { return at ? v : "localhost" }'
}
listen_has() {
  # FILE ADDRESS...: are they among listen_addresses?
  _file=$1
  shift
  _n=$* awk "$(listen_awk)"'
    END { n = split(ENVIRON["_n"], w, " ")
      for (i = 1; i <= n; i++) if (!has(value(), w[i])) { print "listens on " value() ", not on " w[i]; exit 1 }
      print "listens on " value() }' "$_file" >&2
}
listen_with() {
  # FILE ADDRESS...: the text in which they are among listen_addresses
  _file=$1
  shift
  _n=$* awk "$(listen_awk)"'
    END { n = split(ENVIRON["_n"], w, " "); s = value()
      for (i = 1; i <= n; i++) if (!has(s, w[i])) s = s (s == "" ? "" : ",") w[i]
      for (i = 1; i <= NR; i++) print i == at ? key "\047" s "\047" tail : a[i]
      if (!at) print "listen_addresses = \047" s "\047" }' "$_file"
}
listen_without() {
  # OLD FILE ADDRESS...: the text without those that were not there in OLD
  _had=$(awk "$(listen_awk)"' END { print value() }' "$1")
  _file=$2
  shift 2
  _had=$_had _n=$* awk "$(listen_awk)"'
    END { n = split(v, w, /[ \t]*,[ \t]*/); m = split(tolower(ENVIRON["_n"]), o, " "); s = ""
      for (i = 1; i <= n; i++) { ours = 0
        for (j = 1; j <= m; j++) if (tolower(w[i]) == o[j] && !has(ENVIRON["_had"], w[i])) ours = 1
        if (!ours) s = s (s == "" ? "" : ",") w[i] }
      for (i = 1; i <= NR; i++) print i == at ? key "\047" s "\047" tail : a[i] }' "$_file"
}
