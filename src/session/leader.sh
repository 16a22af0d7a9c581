# The leader of a recorded step: its own session, so that it outlives the link. Written behind hz_lib into the lock's
# generation when the lock is taken, so that `ps` shows a short line.
# Arguments: claim directory, boot id, pid namespace, the login's umask, output cap. Events go to standard output:
# c PID = claimed and starting, r REASON = refused.
hz_d=$1 hz_b=$2 hz_n=$3 hz_u=$4 hz_cap=$5
IFS= read -r hz_i || { echo "r the session ended before the step was whole"; exit 70; }
exec </dev/null
# go is linked by its absolute path: after the lock was taken over, that path is gone. All the rest is relative, because the
# record of a step that runs moves with the lock's generation.
cd "$hz_d" 2>/dev/null || { echo "r the lock was taken over"; exit 70; }
read -r hz_x </proc/$$/stat
set -- ${hz_x##*) }
hz_line "leader $hz_b $hz_n $$ ${20}" 1<>go.t || { echo "r its record could not be written"; exit 70; }
if ! ln go.t "$hz_d/go" 2>>err; then
  read -r hz_x <err
  if [ -e go ]; then echo "r it was revoked before it began"; else echo "r the lock was taken over (${hz_x##*: })"; fi
  exit 70
fi
echo "c $$"
exec >/dev/null 2>&1
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
  set -- $(wc -c out err)
  [ "$1" -le "$hz_cap" ] || (umask 077; hz_cut out)
  [ "$3" -le "$hz_cap" ] || (umask 077; hz_cut err)
}
# Ended by KILL: a TERM may come before a trap is set. It ends by itself when the leader was killed, with a code or without.
while [ ! -e rc ] && kill -0 $$ 2>/dev/null && (cd / && exec sleep 2); do hz_watch; done &
hz_w=$!
hz_run() {
  cd /
  umask "$hz_u"
  unset hz_x hz_i
  exec sh -eu -c '. "$1"; shift; hawiz_text' sh "$hz_d/script"
}
case $hz_i in
-) (hz_run) >>out 2>>err ;;
*) hz_put "${hz_i#+}" | (hz_run) >>out 2>>err ;;
esac
hz_c=$?
kill -KILL $hz_w
if [ -s out ] || [ -s err ]; then hz_watch; fi
# The code is written where its room is, then linked: made once, never changed.
hz_line "rc $hz_c" 1<>rc.t
ln rc.t rc
sync rc.t . || sync
