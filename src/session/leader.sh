# The leader of a recorded step: its own session, so that it outlives the link. Written behind hz_lib into the lock's
# generation when the lock is taken, so that `ps` shows a short line.
# Arguments: claim, boot id, pid namespace, the login's umask, output cap, how long a nap is, - when there is nothing to read.
# Events go to standard output: c PID = claimed and starting, r REASON = refused, t = a sign of life. Its end is the end.
hz_d=$1 hz_b=$2 hz_n=$3 hz_u=$4 hz_cap=$5 hz_nap=$6 hz_i=$7
[ "$hz_i" = - ] || IFS= read -r hz_i || { echo "r the session ended before the step was whole"; exit 70; }
exec </dev/null
# go is made by its absolute path: after the lock was taken over, that path is gone. All the rest is relative, because the
# record of a step that runs moves with the lock's generation.
hz_f=${hz_d##*/}
cd "${hz_d%/*}" 2>/dev/null || { echo "r the lock was taken over"; exit 70; }
read -r hz_x </proc/$$/stat
set -- ${hz_x##*) }
hz_line "leader $hz_b $hz_n $$ ${20}" 1<>"$hz_f.who" || { echo "r its record could not be written"; exit 70; }
hz_go() {
  :
}
set -C
if ! { hz_go >"$hz_d.go"; } 2>>"$hz_f.err"; then
  read -r hz_x <"$hz_f.err"
  if [ -e "$hz_f.go" ]; then echo "r it was revoked before it began"; else echo "r the lock was taken over (${hz_x##*: })"; fi
  exit 70
fi
set +C
# The session may be gone already; the step has begun all the same.
trap '' PIPE
echo "c $$"
exec 3>&1 >/dev/null 2>&1
# Caught, not ignored: the step gets its defaults back, the leader lives on to write the code.
trap : TERM INT HUP QUIT
hz_half=$((hz_cap / 8192 * 4096))
# The step has its output files open for appending, so a file can be cut while it writes.
hz_cut() {
  [ -e "$1.head" ] || dd if="$1" of="$1.head" bs=4096 count=$((hz_half / 4096)) 2>/dev/null
  hz_x=0
  [ ! -e "$1.gap" ] || read -r hz_x hz_y <"$1.gap"
  set -- "$1" "$(wc -c <"$1")"
  echo "$((hz_x + $2)) $hz_half" >"$1.gap.t" && mv "$1.gap.t" "$1.gap"
  if [ "$2" -ge "$hz_half" ]; then tail -c "$hz_half" "$1" >"$1.tail.t"; else cat "$1.tail" "$1" | tail -c "$hz_half" >"$1.tail.t"; fi
  : >"$1"
  mv "$1.tail.t" "$1.tail"
}
hz_watch() {
  set -- $(wc -c "$hz_f.out" "$hz_f.err")
  [ "$1" -le "$hz_cap" ] || (umask 077; hz_cut "$hz_f.out")
  [ "$3" -le "$hz_cap" ] || (umask 077; hz_cut "$hz_f.err")
}
# Gives signs of life, and every two seconds looks at how much was said. Ended by KILL: a TERM may come before a trap is set.
# It ends by itself when the leader was killed, with a code or without.
hz_tick() {
  trap : TERM INT HUP QUIT
  hz_k=0
  while sleep "$hz_nap" 3>&- || [ $? -gt 128 ]; do
    hz_x=
    read -r hz_x hz_y <"$hz_f.rc"
    [ -z "$hz_x" ] && kill -0 $$ || break
    # Nobody listens any more.
    echo t >&3 || hz_nap=2
    hz_k=$((hz_k + 1))
    case $hz_nap.$hz_k in
    0.1.20 | 1.2 | 2.*)
      hz_k=0
      (exec 3>&-; hz_watch)
      ;;
    esac
  done
}
hz_tick &
hz_w=$!
hz_run() {
  trap - PIPE
  cd /
  umask "$hz_u"
  unset hz_x hz_i
  exec sh -eu -c '. "$1"; shift; hawiz_text' sh "$hz_d"
}
case $hz_i in
-) (hz_run) >>"$hz_f.out" 2>>"$hz_f.err" 3>&- ;;
*) hz_put "${hz_i#+}" 3>&- | (hz_run) >>"$hz_f.out" 2>>"$hz_f.err" 3>&- ;;
esac
hz_c=$?
kill -KILL $hz_w
if [ -s "$hz_f.out" ] || [ -s "$hz_f.err" ]; then hz_watch; fi
# The code is written where its room is, once: by the leader, or by who has killed it.
hz_line "rc $hz_c $hz_c ." 1<>"$hz_f.rc"
sync "$hz_f.rc" . || sync
