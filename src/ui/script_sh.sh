hawiz_say() { printf '%s\n' "$*" >&2; }
# FUNCTION READING:SENSE SECONDS EVERY yes|settled: sets hawiz_answer (yes no unsettled cannot) and hawiz_out
hawiz_look() {
  hawiz_left=$3
  while :; do
    hawiz_out=$("$1")
    hawiz_code=$?
    hawiz_answer=cannot
    case $2:$hawiz_code in
      *:0 | catalog:*:3) hawiz_answer=yes ;;
      *:1) hawiz_answer=no ;;
      catalog:*:4) hawiz_answer=unsettled ;;
      script:plain:*) if [ "$hawiz_code" -le 125 ]; then hawiz_answer=no; fi ;;
    esac
    case $2:$hawiz_answer in
      *:not:yes) hawiz_answer=no ;;
      *:not:no) hawiz_answer=yes ;;
    esac
    case $5:$hawiz_answer in *:yes | settled:no | settled:cannot) return 0 ;; esac
    if [ "$hawiz_left" -le 0 ]; then return 0; fi
    sleep "$4"
    hawiz_left=$((hawiz_left - $4))
  done
}
hawiz_failed() {
  hawiz_say "   failed: $1"
  if [ "$hawiz_on_failure" = continue ]; then
    hawiz_degraded=yes hawiz_go=no
  elif [ "$hawiz_changed" = yes ]; then
    hawiz_say 'Stopped; what was changed stands.'
    exit 6
  else
    hawiz_say 'Not ready; nothing was changed.'
    exit 4
  fi
}
# TITLE: a stage begins
hawiz_stage() {
  hawiz_say "=== $1"
  hawiz_title=$1 hawiz_go=yes hawiz_stage_go=yes hawiz_on_failure=stop
}
# stop|ask|continue TITLE [NAME]...: a step's turn; left out with its stage, or while a value is not known
hawiz_step() {
  hawiz_go=$hawiz_stage_go hawiz_on_failure=$1 hawiz_title=$2
  if [ "$hawiz_go" = no ]; then return 0; fi
  hawiz_say "-- $2"
  shift 2
  for hawiz_name; do
    eval "hawiz_value=\${$hawiz_name-}"
    if [ -z "$hawiz_value" ]; then
      hawiz_say "   skipped: \$$hawiz_name is not known"
      hawiz_go=no
    fi
  done
}
# READING:SENSE WITHIN EVERY: false = left out
hawiz_when() {
  if [ "$hawiz_go" = no ]; then return 0; fi
  hawiz_look hawiz_w "$1" "$2" "$3" settled
  case $hawiz_answer in
    yes) ;;
    no) hawiz_say '   skipped: its condition is false'; hawiz_go=no ;;
    *) hawiz_failed "cannot tell whether it is its turn" ;;
  esac
}
# READING:SENSE: true = all of the stage is so already
hawiz_stage_done() {
  if [ "$hawiz_go" = no ]; then return 0; fi
  hawiz_look hawiz_d "$1" 0 1 settled
  case $hawiz_answer in
    yes) hawiz_say '   so already'; hawiz_go=no ;;
    no) ;;
    *) hawiz_failed "cannot tell whether it is so already" ;;
  esac
}
# NAME...: the words of the first line of what was printed
hawiz_learn() {
  if [ $# -eq 0 ]; then return 0; fi
  read -r "$@" <<hawiz_end
$hawiz_out
hawiz_end
  for hawiz_name; do
    eval "hawiz_value=\${$hawiz_name-}"
    if [ -z "$hawiz_value" ]; then hawiz_failed "it printed nothing for \$$hawiz_name"; return 0; fi
    hawiz_say "   learnt: $hawiz_name=$hawiz_value"
  done
}
# READING:SENSE WITHIN EVERY [NAME]...: must be true
hawiz_check() {
  if [ "$hawiz_go" = no ]; then return 0; fi
  hawiz_look hawiz_c "$1" "$2" "$3" yes
  if [ "$hawiz_answer" != yes ]; then hawiz_failed "is it so? $hawiz_answer"; return 0; fi
  shift 3
  hawiz_learn "$@"
}
# READING:SENSE WITHIN EVERY: says what is so here; several nodes together decide
hawiz_report() {
  if [ "$hawiz_go" = no ]; then return 0; fi
  hawiz_look hawiz_c "$1" "$2" "$3" settled
  hawiz_say "   here: $hawiz_answer $hawiz_out"
}
# done before the change: sets hawiz_already
hawiz_before() {
  hawiz_already=no
  if [ "$hawiz_done" = - ]; then return 0; fi
  hawiz_look hawiz_d "$hawiz_done" "$hawiz_within" "$hawiz_every" settled
  case $hawiz_answer in
    yes) hawiz_already=yes ;;
    no) ;;
    *) hawiz_failed 'cannot tell whether it is so already; nothing was run'; hawiz_already=cannot ;;
  esac
}
# done and every verify after the change: sets hawiz_ok, and hawiz_out to what done printed
hawiz_after() {
  hawiz_ok=no hawiz_number=0
  if [ "$hawiz_done" != - ]; then
    hawiz_look hawiz_d "$hawiz_done" "$hawiz_within" "$hawiz_every" yes
    if [ "$hawiz_answer" != yes ]; then return 0; fi
    hawiz_printed=$hawiz_out
  fi
  for hawiz_reading in $hawiz_verify; do
    hawiz_number=$((hawiz_number + 1))
    hawiz_look "hawiz_v$hawiz_number" "$hawiz_reading" "$hawiz_within" "$hawiz_every" yes
    if [ "$hawiz_answer" != yes ]; then return 0; fi
  done
  hawiz_out=$hawiz_printed hawiz_ok=yes
}
# DONE VERIFY WITHIN EVERY TRIES WAIT EXITS [NAME]...: look, change, look again
hawiz_change() {
  if [ "$hawiz_go" = no ]; then return 0; fi
  hawiz_done=$1 hawiz_verify=$2 hawiz_within=$3 hawiz_every=$4 hawiz_tries=$5 hawiz_wait=$6 hawiz_exits=$7
  shift 7
  hawiz_try=1 hawiz_printed=
  while :; do
    hawiz_before
    case $hawiz_already in
      yes) hawiz_say '   so already'; hawiz_learn "$@"; return 0 ;;
      cannot) return 0 ;;
    esac
    hawiz_changed=yes
    if [ "$hawiz_done" = - ] && [ $# -gt 0 ]; then
      hawiz_printed=$(hawiz_r)
      hawiz_code=$?
    else
      hawiz_r
      hawiz_code=$?
    fi
    hawiz_why="exit $hawiz_code"
    case " $hawiz_exits " in
      *" $hawiz_code "*)
        hawiz_after
        if [ "$hawiz_ok" = yes ]; then hawiz_learn "$@"; return 0; fi
        hawiz_why='not true after the change'
        ;;
    esac
    if [ "$hawiz_try" -ge "$hawiz_tries" ]; then hawiz_failed "$hawiz_why"; return 0; fi
    hawiz_say "   try $hawiz_try of $hawiz_tries: $hawiz_why"
    hawiz_try=$((hawiz_try + 1))
    sleep "$hawiz_wait"
  done
}
# DONE VERIFY WITHIN EVERY TEXT [NAME]...: a person does it
hawiz_manual() {
  if [ "$hawiz_go" = no ]; then return 0; fi
  hawiz_done=$1 hawiz_verify=$2 hawiz_within=$3 hawiz_every=$4
  hawiz_say "   by hand: $5"
  shift 5
  hawiz_printed=
  hawiz_before
  case $hawiz_already in
    yes) hawiz_say '   so already'; hawiz_learn "$@"; return 0 ;;
    cannot) return 0 ;;
  esac
  hawiz_changed=yes
  if [ $# -gt 0 ]; then hawiz_say "   When it is done, type: $*"; else hawiz_say '   When it is done, type: yes'; fi
  read -r hawiz_printed </dev/tty
  if [ $# -eq 0 ] && [ "$hawiz_printed" != yes ]; then hawiz_failed 'not done'; return 0; fi
  hawiz_typed=$hawiz_printed
  hawiz_after
  if [ "$hawiz_ok" != yes ]; then hawiz_failed 'not true afterwards'; return 0; fi
  hawiz_out=$hawiz_typed
  hawiz_learn "$@"
}
hawiz_end() {
  if [ "$hawiz_degraded" = yes ]; then hawiz_say 'Done, but optional steps failed.'; exit 8; fi
  hawiz_say 'Done.'
}
hawiz_changed=no hawiz_degraded=no
