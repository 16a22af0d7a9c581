# The part of the session that makes steps and knows the truth about them. It follows lock.sh, at the first call that needs it.
# Comments and indentation are stripped before it travels. POSIX tools and setsid only; runs in dash, bash, busybox sh and mksh.

# The pid namespace and the shortest sleep: each costs a program, and only steps need them.
hz_ns=$(ls -l /proc/self/ns/pid 2>/dev/null)
hz_ns=${hz_ns##*\[}
hz_ns=${hz_ns%\]*}
hz_nap=1
if sleep 0.001 2>/dev/null; then hz_nap=0.1; fi

# --- steps -----------------------------------------------------------------------------------------------------------
# A claim is a few files in the generation: HASH is the script, and whoever made it has the claim; HASH.go says who won the
# right to start (empty) or to forbid it, HASH.who is the leader, HASH.rc the code; HASH.out, HASH.err. Who makes a file by
# `set -C` is its only maker (O_EXCL), and no program need be started for it.
# What has to be written later is given its room now; go is nothing but a name, like a link.
hz_pad='                                                                                                               '
hz_none() {
  :
}
hz_script() { # text
  hz_made=1
  hz_put "hawiz_text() { :; $1
}
"
}
hz_claim() { # text
  hz_made=
  umask 077
  set -C
  hz_script "$1" >"$hz_d" && hz_line "$hz_pad" >"$hz_d.rc" && hz_line "$hz_pad" >"$hz_d.who" && hz_none >"$hz_d.out" && hz_none >"$hz_d.err"
  hz_c=$?
  set +C
  umask "$hz_umask"
  return "$hz_c"
}
hz_unclaimed() { # seq generation: why not
  if [ -n "$hz_made" ]; then
    rm -f "$hz_d" "$hz_d.rc" "$hz_d.who" "$hz_d.out" "$hz_d.err"
    hz_x=$(df -P -k "$hz_state" 2>/dev/null | while read -r hz_a hz_a hz_a hz_y hz_a; do hz_line "$hz_y"; done)
    hz_x="its record could not be written to $hz_state (${hz_x##*
} KiB are free there)"
  else
    hz_x=$({ hz_none >"$hz_d.try"; } 2>&1)
    rm -f "$hz_d.try"
    hz_x="its record could not be made (${hz_x##*: })"
  fi
  if [ ! -d "${hz_d%/*}" ]; then
    hz_taken "$2"
    hz_line "@$hz_n.$1!$hz_v"
  elif [ -z "$hz_made" ] && [ -e "$hz_d" ]; then
    hz_line "@$hz_n.$1="
  else
    hz_line "@$hz_n.$1!$hz_x"
  fi
}
hz_lead() { # cap, - when there is nothing to read: becomes the leader
  exec setsid sh "${hz_d%/*}/leader" "$hz_d" "$hz_boot" "$hz_ns" "$hz_umask" "$1" "$hz_nap" "$2" 2>/dev/null
}
hz_start() { # seq run generation hash text stdin secret cap
  hz_gen=$hz_state/lock/$3
  hz_d=$hz_gen/$4
  hz_begin "$1"
  hz_beat
  if [ -n "$hz_torn" ]; then hz_torn='' && hz_line "@$hz_n.$1~"; fi
  # A journal that came from a copy may not know of an attempt that the node knows.
  for hz_x in "$hz_state/run.$2"/gen.*/"$4"; do
    if [ -f "$hz_x" ]; then hz_line "@$hz_n.$1="; return; fi
  done
  if ! { hz_claim "$5"; } 2>/dev/null; then
    hz_unclaimed "$1" "$3"
  elif [ "$6" = - ]; then
    hz_lead "$8" - </dev/null | (hz_follow "$1" "$7")
  else
    hz_line "$6" | hz_lead "$8" '' | (hz_follow "$1" "$7")
  fi
}
# Tells the output of the step as it comes, until the end of the events; then its code.
hz_flow() { # seq
  if [ -s "$hz_f.out" ] && [ ! -e "$hz_f.out.gap" ]; then
    echo "@$hz_n.$1"1
    cat <&6
  fi
  if [ -s "$hz_f.err" ] && [ ! -e "$hz_f.err.gap" ]; then
    echo "@$hz_n.$1"2
    cat <&7
  fi
  echo "@$hz_n.$1"0
}
hz_kept() { # HASH.out or HASH.err: what is kept of it, the gap named
  if [ ! -e "$1.gap" ]; then cat "$1"; return; fi
  read -r hz_x hz_h <"$1.gap"
  hz_y=$(wc -c <"$1")
  cat "$1.head"
  echo
  echo "[hawiz: about $((hz_x + hz_y - hz_h - hz_h)) bytes were left out here]"
  cat "$1.tail" "$1" | tail -c "$hz_h"
}
hz_refused() { # seq why
  hz_v=$2
  if [ ! -d "${hz_d%/*}" ]; then
    hz_x=${hz_d%/*}
    hz_taken "${hz_x##*/}"
  fi
  hz_line "@$hz_n.$1!$hz_v"
}
hz_into() { # to where the claim is
  hz_f=${hz_d##*/}
  cd "${hz_d%/*}"
}
hz_follow() { # seq secret
  hz_into || { hz_line "@$hz_n.$1?"; return; }
  exec 6</dev/null 7</dev/null
  # What a secret step said is removed after it was read.
  if [ -e "$hz_f.out" ]; then exec 6<"$hz_f.out"; fi
  if [ -e "$hz_f.err" ]; then exec 7<"$hz_f.err"; fi
  while read -r hz_k hz_v; do
    case $hz_k in
    c) echo "@$hz_n.$1+$hz_v" ;;
    r) hz_refused "$1" "$hz_v"; return ;;
    *) hz_flow "$1" ;;
    esac
  done
  hz_flow "$1"
  for hz_x in out err; do
    [ -e "$hz_f.$hz_x.gap" ] || continue
    echo "@$hz_n.$1g$hz_x"
    hz_kept "$hz_f.$hz_x"
    echo "@$hz_n.$1"0
  done
  # Who cancels it by force writes the code when nobody of the group is left, a moment after the leader.
  if [ ! -e "$hz_f.go" ] || [ -s "$hz_f.go" ]; then hz_refused "$1" "its leader could not begin"; return; fi
  hz_y=10
  if [ -e "$hz_f.kill" ]; then hz_y=60; fi
  until hz_code || [ "$hz_y" = 0 ]; do
    hz_y=$((hz_y - 1))
    sleep "$hz_nap"
  done
  if hz_code; then
    [ "$2" = 0 ] || rm -f "$hz_f".out* "$hz_f".err*
    hz_line "@$hz_n.$1>$hz_c"
  else
    hz_line "@$hz_n.$1?"
  fi
}
# The code is one line in the room that was kept for it, said twice: half of it is not a code.
hz_code() { # hz_c, of the claim in the current directory; false when there is none
  hz_x='' hz_c='' hz_v='' hz_e=''
  { read -r hz_x hz_c hz_v hz_e <"$hz_f.rc"; } 2>/dev/null
  [ "$hz_x$hz_e" = rc. ] && [ -n "$hz_c" ] && [ "$hz_c" = "$hz_v" ]
}

# --- the truth -------------------------------------------------------------------------------------------------------
hz_find() { # run hash: hz_d, and false when there is no such claim
  for hz_d in "$hz_state"/lock/*/"$2" "$hz_state/run.$1"/gen.*/"$2"; do
    if [ -f "$hz_d" ]; then return 0; fi
  done
  hz_d=
  return 1
}
hz_group() { # group: true while somebody is in it who is not a zombie; hz_left says who
  for hz_y in /proc/[0-9]*; do
    if hz_stat "${hz_y#/proc/}" && [ "$hz_pg" = "$1" ]; then
      case $hz_st in Z | X | x) ;; *) hz_left="process ${hz_y#/proc/}, state $hz_st"; return 0 ;; esac
    fi
  done
  return 1
}
hz_alive() { # of the claim in the current directory: is its leader there; if not, hz_no says why, if it is not plain
  hz_no='' hz_k='' hz_pid='' hz_ts=''
  [ -e "$hz_f.go" ] && [ ! -s "$hz_f.go" ] || return 1
  { read -r hz_k hz_b hz_i hz_pid hz_ts hz_x <"$hz_f.who"; } 2>/dev/null
  [ "$hz_k" = leader ] && [ -n "$hz_ts" ] || return 1
  if [ "$hz_b" != "$hz_boot" ]; then hz_no="the node was rebooted while it ran"; return 1; fi
  if [ "$hz_i" != "$hz_ns" ]; then hz_no="it was started in another container of this machine"; return 1; fi
  if hz_stat "$hz_pid"; then
    [ "$hz_t0" = "$hz_ts" ] || return 1
    case $hz_st in Z | X | x) return 1 ;; esac
    return 0
  fi
  case $(kill -0 "$hz_pid" 2>&1) in *ermitted*) return 0 ;; esac
  return 1
}
# Says what is true of the claim, after making it final if it has not begun: whoever makes go first decides.
hz_tell() { # run hash marker boot
  if ! hz_find "$1" "$2"; then
    hz_x=
    { read -r hz_x <"$hz_state/run.$1/marker"; } 2>/dev/null
    if [ "$hz_x" != "$3" ]; then echo "unknown the node has no record of this run"; return; fi
    if [ "$4" != "$hz_boot" ]; then echo "unknown the node was rebooted since it was to start"; return; fi
    if ! hz_generation || [ "$hz_r" != "$1" ]; then
      # No generation is left in which a late start could claim.
      echo never
      return
    fi
    hz_e=$(umask 077; set -C; { hz_none >"$hz_g/$2"; } 2>&1)
    if ! hz_find "$1" "$2"; then echo "unknown it could not be made final: ${hz_e##*: }"; return; fi
  fi
  hz_into || return
  if hz_code; then echo "done $hz_c"; return; fi
  if [ ! -e "$hz_f.go" ]; then
    # A name that was made just before the power went may be gone.
    if [ "$4" != "$hz_boot" ]; then echo "unknown the node was rebooted since it was to start"; return; fi
    hz_e=$(umask 077 && hz_line revoked 2>&1 >"$hz_f.no.$$" && ln "$hz_f.no.$$" "$hz_f.go" 2>&1)
    rm -f "$hz_f.no.$$"
    if [ ! -e "$hz_f.go" ]; then echo "unknown it could not be made final: ${hz_e##*: }"; return; fi
  fi
  hz_k=
  { read -r hz_k hz_x <"$hz_f.go"; } 2>/dev/null
  if [ "$hz_k" = revoked ]; then echo never; return; fi
  if hz_alive; then echo running; return; fi
  if ! hz_code && [ -z "$hz_no" ] && [ -e "$hz_f.kill" ] && [ -n "$hz_pid" ] && hz_killed; then return; fi
  if hz_code; then echo "done $hz_c"; return; fi
  hz_line "unknown ${hz_no:-its process is gone and left no code}"
}
hz_truth() { # seq run hash marker boot
  hz_begin "$1"
  (hz_tell "$2" "$3" "$4" "$5")
  hz_end "$1" 0
}
# Follows a step that another session started.
hz_attach() { # seq run hash secret
  hz_begin "$1"
  if ! hz_find "$2" "$3"; then hz_line "@$hz_n.$1?"; return; fi
  {
    echo t
    hz_into && while ! hz_code && hz_alive; do sleep "$hz_nap"; echo t; done
  } 2>/dev/null | (hz_follow "$1" "$4")
}
# Empty means empty twice, a nap apart: what is started while the others are looked at is there the second time.
hz_emptied() { # group, naps
  hz_z=$2 hz_s=0
  while :; do
    if hz_group "$1"; then
      [ "$hz_z" -gt 0 ] || return 1
      hz_s=0 hz_z=$((hz_z - 1))
    else
      hz_s=$((hz_s + 1))
      [ "$hz_s" -lt 2 ] || return 0
    fi
    sleep "$hz_nap"
  done
}
hz_stop() { # naps
  hz_into && ! hz_code && hz_alive || return 1
  kill -TERM "-$hz_pid" 2>/dev/null
  if hz_emptied "$hz_pid" "$1"; then return 1; fi
  # Whoever comes while it dies, or after this session did, knows why.
  { (umask 077; hz_none >"$hz_f.kill"); } 2>/dev/null
  kill -KILL "-$hz_pid" 2>/dev/null
  hz_killed
}
hz_killed() { # true when it does not end, which is said
  if ! hz_emptied "$hz_pid" 30; then echo "unknown $hz_left does not end, not even by KILL"; return 0; fi
  # The leader died with its group and could not write the code; it is known all the same.
  if ! hz_code; then
    hz_line "rc 137 137 ." 1<>"$hz_f.rc"
    hz_sync "$hz_f.rc" .
  fi
  return 1
}
hz_cancel() { # seq run hash marker boot seconds
  hz_begin "$1"
  hz_x=$6
  if [ "$hz_nap" = 0.1 ]; then hz_x=$((hz_x * 10)); fi
  if ! hz_find "$2" "$3" || ! (hz_stop "$hz_x"); then (hz_tell "$2" "$3" "$4" "$5"); fi
  hz_end "$1" 0
}
hz_output() { # seq run hash
  hz_begin "$1"
  hz_begin "$1" >&2
  if hz_find "$2" "$3"; then
    (hz_into && { if [ -e "$hz_f.out" ]; then hz_kept "$hz_f.out"; fi; if [ -e "$hz_f.err" ]; then hz_kept "$hz_f.err" >&2; fi; })
  fi
  hz_end "$1" 0 >&2
  hz_end "$1" 0
}
