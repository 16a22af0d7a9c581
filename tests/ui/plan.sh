#!/bin/sh
# xCAT management node on shared storage: activate xcatmn2
# Printed by hawiz 0.1.0, plan d1ge57d1ge57.
# 2 parts, to be run one after the other, each on its node: hawiz_part=1 sh FILE, then 2, …
# To paste instead: type hawiz_part=1, paste all, and so on. Without hawiz_part nothing runs.
# Each step: look, change, look again. Stops at the first that fails; your shell stays as it is.
# Gates are remarks: read them. Deadlines are not kept here.
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

# --- on xcatmn1, as root (sudo): paste there
if [ "${hawiz_part-}" = 1 ]; then
(
cd /
LC_ALL=C; export LC_ALL
XCATROOT=/opt/xcat; export XCATROOT
PATH=/opt/xcat/bin:/opt/xcat/sbin:"$PATH"; export PATH
hawiz_stage_go=yes

# Proof: is xcatmn1 inactive?

hawiz_step stop 'does not hold 10.5.106.7'
hawiz_c() { (
set -eu
! ip-is 10.5.106.7
) </dev/null; }
hawiz_check script:plain 0 2

hawiz_step stop 'xcatd is stopped'
hawiz_c() { (
set -eu
systemctl is-inactive xcatd
) </dev/null; }
hawiz_check script:plain 0 2
hawiz_end
)
hawiz_status=$?
fi

# --- on xcatmn2, as root (sudo): paste there
if [ "${hawiz_part-}" = 2 ]; then
(
: "${bmc_password:?secret}"
cd /
LC_ALL=C; export LC_ALL
XCATROOT=/opt/xcat; export XCATROOT
PATH=/opt/xcat/bin:/opt/xcat/sbin:"$PATH"; export PATH
lsif() {
tabdump site | awk -F, '$1 == "mgtifname" { print $2 }'
}
hawiz_stage_go=yes

# === 1 · Is the shared data here?   xcatmn2
hawiz_stage 'Is the shared data here?'

hawiz_step stop '/HA is mounted and can be written'
hawiz_c() { (
set -eu
mountpoint -q /HA
) </dev/null; }
hawiz_check script:plain 0 2

hawiz_step stop '/install lies on it'
hawiz_c() { (
set -eu
test -L /install
) </dev/null; }
hawiz_check script:plain 0 2

hawiz_step stop '/etc/xcat lies on it'
hawiz_c() { (
set -eu
test -L /etc/xcat
) </dev/null; }
hawiz_check script:plain 0 2

hawiz_step stop '/tftpboot lies on it'
hawiz_c() { (
set -eu
test -L /tftpboot
) </dev/null; }
hawiz_check script:plain 0 2

# === 2 · Take the address   [Admin] asks · xcatmn2
# gate: go on?
hawiz_stage 'Take the address'

hawiz_step stop 'Nobody answers on 10.5.106.7'
hawiz_c() { (
set -eu
arping -q -c 1 10.5.106.7
) </dev/null; }
hawiz_check script:not 0 2

# Before the next change: is every other node inactive, still? (xcatmn1)

# proof again before it
hawiz_step stop 'Add 10.5.106.7/8 to eth0'
hawiz_d() { (
set -eu
a=$(ip -o -4 addr show dev eth0 to 10.5.106.7/32); test -n "$a"
) </dev/null; }
hawiz_r() { (
set -eu
ip addr add 10.5.106.7/8 brd + dev eth0 label eth0:0 && arping -q -U -c 3 -I eth0 10.5.106.7
) </dev/null; }
# undo  ip addr del 10.5.106.7/8 dev eth0
hawiz_change script:plain '' 30 2 1 3 '0'

# === 3 · Start the services   [xCAT] asks · xcatmn2
#     xCAT's own order: the database first.
# gate: go on?
hawiz_stage 'Start the services'

# 3 tries, 3s apart, 5m each
hawiz_step stop 'Start postgresql'
hawiz_d() { (
set -eu
systemctl is-active -q postgresql
) </dev/null; }
hawiz_r() { (
set -eu
systemctl start postgresql
) </dev/null; }
# undo  systemctl stop postgresql
hawiz_change script:plain '' 30 2 3 3 '0'

# waits up to 10m
hawiz_step stop 'PostgreSQL answers'
hawiz_c() { (
set -eu
pg_isready -q
) </dev/null; }
hawiz_check script:plain 600 2

hawiz_step stop 'Which domain does xCAT serve?'
hawiz_c() { (
set -eu
lsdef -t site -i domain
) </dev/null; }
hawiz_check script:plain 0 2 site_domain

# deadline 10m
hawiz_step stop 'Publish the zones of $site_domain'
hawiz_w() { (
set -eu
test "$site_domain" != none && getent hosts 10.5.106.7 | grep -qwF "xcatmn1.$site_domain"
) </dev/null; }
hawiz_when script:plain 30 2
hawiz_v1() { (
set -eu
systemctl is-active -q named
) </dev/null; }
hawiz_v2() { (
set -eu
dig +short @127.0.0.1 localhost
) </dev/null; }
hawiz_r() { (
set -eu
makedns -n
) </dev/null; }
# undo  none needed: the standby rewrites it when it becomes active
hawiz_change - 'script:plain script:plain' 30 2 1 3 '0 3'

# optional
hawiz_step continue 'xCAT knows the interface as eth0:0'
hawiz_d() { (
set -eu
test "$(lsif)" = eth0:0
) </dev/null; }
hawiz_r() { (
set -eu
setif eth0:0
) </dev/null; }
# undo ($before: what the first look printed before the change):
# undo  setif "$before"
hawiz_change script:plain '' 30 2 1 3 '0'

# === 4 · The point of no return   type node3 · xcatmn2
# gate: go on? say aloud: node3
hawiz_stage 'The point of no return'

hawiz_step stop 'Move the serial cable'
# undo  by hand: Move it back.
hawiz_manual - '' 30 2 'Move the serial cable from xcatmn1 to xcatmn2.'

hawiz_step stop 'Cut the power of node3'
hawiz_r() { printf 'action=off\nip=node3-bmc\npassword=%s' "$bmc_password" | (
set -eu
fence_ipmilan
); }
# POINT OF NO RETURN: node3 loses its power; whatever runs there is lost or moves
hawiz_change - '' 30 2 1 3 '0'
hawiz_end
)
hawiz_status=$?
fi
( exit "${hawiz_status-0}" )
