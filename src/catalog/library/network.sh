address_list() {
  # ADDRESS [DEV]: what `ip` knows of it on this node, a line for each
  # interface that has it
  case $1 in
  *:*) ip -o -6 addr show ${2:+dev "$2"} to "$1/128" ;;
  *) ip -o -4 addr show ${2:+dev "$2"} to "$1/32" ;;
  esac
}
address_on() {
  # ADDRESS [DEV]: does this node (the interface) hold it? 4: IPv6 is still
  # looking for duplicates
  _a=$(address_list "$@") || exit 126
  case $_a in
  '') printf '%s is not on %s\n' "$1" "${2:-any interface of this node}"; return 1 ;;
  *dadfailed*) printf '%s is here but unusable: another node holds it (dadfailed)\n' "$1"; return 1 ;;
  *tentative*) printf '%s is being checked for duplicates\n' "$1"; return 4 ;;
  esac
  printf '%s\n' "$_a" | awk '{ print $4 " is on " $2 }'
}
address_gone() {
  # ADDRESS: is it on no interface of this node? If not: prints for each place
  # what `ip addr add` would need
  _a=$(address_list "$1") || exit 126
  if [ -z "$_a" ]; then printf '%s is on no interface of this node\n' "$1"; return 0; fi
  printf '%s\n' "$_a" | awk '{
    s = $2 " " $4
    for (i = 5; i < NF; i++) {
      if ($i == "peer" || $i == "metric" || $3 == "inet" && ($i == "brd" || $i == "scope")) s = s " " $i " " $(i + 1)
      if ($i == "noprefixroute") s = s " " $i
      if ($3 == "inet" && sub(/\\$/, "", $i)) s = s " label " $i
    }
    print s
  }'
  return 1
}
address_asked() {
  # ADDRESS DEV: true when this node itself holds it; false when others must
  # be asked, and can be
  _a=$(address_list "$1") || exit 126
  if [ -n "$_a" ]; then printf 'this node itself holds %s\n' "$1"; return 0; fi
  _l=$(ip -o link show dev "$2") || exit 126
  case $_l in
  *NO-CARRIER* | *'state DOWN'*) printf '%s has no link: silence proves nothing\n' "$2" >&2; exit 126 ;;
  esac
  return 1
}
arping_free() {
  # ADDRESS DEV: does nobody but this node answer for it? By ARP, with either
  # kind of arping
  if address_asked "$1" "$2"; then return 0; fi
  command -v arping >/dev/null || { echo 'arping is missing: nobody can be asked' >&2; exit 126; }
  case $(arping -V 2>&1) in
  *Habets*) _o=$(arping -0 -c 3 -i "$2" "$1" 2>&1) || :
    case $_o in
    *' bytes from '*) _r=taken ;;
    *' 0 packets received'*) _r=free ;;
    *) _r='?' ;;
    esac ;;
  *) _r=0; _o=$(arping -D -c 3 -I "$2" "$1" 2>&1) || _r=$?
    case $_r-$_o in
    *'not ARPable'*) _r='?' ;;
    0-*) _r=free ;;
    1- | 1-*eply*) _r=taken ;;
    *) _r='?' ;;
    esac ;;
  esac
  case $_r in
  free) printf 'nobody answers on %s\n' "$1" ;;
  taken) printf 'another node answers on %s\n' "$1"
    printf '%s\n' "$_o" | grep -i -e reply -e 'bytes from' | head -n 1; return 1 ;;
  *) printf '%s\n' "$_o" >&2; return 126 ;;
  esac
}
neighbour_free() {
  # ADDRESS DEV: the same for IPv6. The kernel asks: a question without an
  # answer leaves FAILED behind
  if address_asked "$1" "$2"; then return 0; fi
  _o=$(ping -6 -n -c 3 -w 4 -I "$2" "$1" 2>&1) || :
  _n=$(ip -6 neigh show to "$1" dev "$2") || exit 126
  case $_o$_n in
  *' bytes from '* | *lladdr*) printf 'another node answers on %s\n' "$1"; return 1 ;;
  *FAILED* | *INCOMPLETE*) printf 'nobody answers on %s\n' "$1" ;;
  *) printf 'cannot ask for %s: %s\n' "$1" "$_o" >&2; return 126 ;;
  esac
}
address_not_here() {
  # ADDRESS: ends the script when an interface of this node has it
  _a=$(address_list "$1")
  if [ -n "$_a" ]; then printf 'on another interface of this node: %s\n' "$_a" >&2; exit 125; fi
}
address_settled() {
  # ADDRESS/PREFIX DEV: waits until IPv6 has looked for duplicates; removes it
  # again when another node has it
  _n=0
  while _a=$(address_list "${1%/*}" "$2"); do
    case $_a in
    *dadfailed*) ip -6 addr del "$1" dev "$2"
      printf 'another node holds %s: removed again\n' "${1%/*}" >&2; exit 125 ;;
    *tentative*) _n=$((_n + 1)); [ "$_n" -lt 15 ] || exit 1; sleep 1 ;;
    *) break ;;
    esac
  done
}
not_announced() {
  # after arping failed: a note, no failure. One kind fails when nobody
  # answers, which nobody should
  case $(arping -V 2>&1) in
  *Habets*) ;;
  *) echo 'note: not announced; the neighbours will find out by themselves' >&2 ;;
  esac
}
address_at() {
  # ADDRESS/PREFIX DEV: is it there? If so, the other addresses of the
  # interface will stay when this one is removed: the kernel drops a primary
  # address's secondaries with it, unless promote_secondaries is on. It is,
  # till the end.
  _a=$(address_list "${1%/*}" "$2") || exit 1
  case $_a in
  *inet6*" $1 "* | *" $1 "*' secondary '*) return 0 ;;
  *" $1 "*) ;;
  *) return 1 ;;
  esac
  _a=$(ip -o -4 addr show dev "$2") || exit 1
  case $_a in *' secondary '*) ;; *) return 0 ;; esac
  _p=/proc/sys/net/ipv4/conf/$2/promote_secondaries
  _old=$(cat "$_p") || exit 125
  [ "$_old" != 1 ] || return 0
  trap "echo $_old >$_p" EXIT
  trap 'exit 130' HUP INT TERM
  echo 1 >"$_p" || { echo 'it would take other addresses along' >&2; exit 125; }
}
each_place_of() {
  # ADDRESS COMMAND...: the command with `ADDRESS/PREFIX dev DEV` for each
  # interface that has it
  _places=$(address_list "$1")
  shift
  printf '%s\n' "$_places" | while read -r _i _dev _f _cidr _rest; do
    [ -n "$_cidr" ] || continue
    (address_at "$_cidr" "$_dev" || exit 0; "$@" "$_cidr" dev "$_dev")
  done
}
address_back() {
  # ADDRESS PLACES: adds it again where address_gone found it, and tells the
  # neighbours
  set -f # $_how is words
  printf '%s\n' "$2" | while read -r _dev _how; do
    [ -n "$_how" ] || continue
    _a=$(address_list "$1" "$_dev")
    [ -n "$_a" ] || ip addr add $_how dev "$_dev"
    case $1 in
    *:*) address_settled "${_how%% *}" "$_dev"
      ndsend "$1" "$_dev" || echo 'note: not announced' >&2 ;;
    *) arping -U -c 3 -I "$_dev" "$1" || not_announced ;;
    esac
  done
}
