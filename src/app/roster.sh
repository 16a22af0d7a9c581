# What a node says of itself, a word and its value a line; only looks. Given: state, become, login (may be empty).
# POSIX and /proc only; what cannot be found out is not said, or said empty.
say() {
  printf '%s\n' "$1 $2"
}
say user "$(id -un 2>/dev/null || id -u)"
said=$(ls -l "/proc/$$/exe" 2>/dev/null) || said=
case $said in
*' -> '*) say sh "${said##* -> }" ;;
*) say sh "$(command -v sh || :)" ;;
esac
if [ -z "$login" ]; then
  case $become in
  sudo) login=${SUDO_USER-} ;;
  doas) login=${DOAS_USER-} ;;
  '') login=$(id -un 2>/dev/null) || login= ;;
  esac
fi
say login "$login"
shell=
if [ -n "$login" ] && [ -r /etc/passwd ]; then
  while IFS=: read -r name x x x x x last; do
    if [ "$name" = "$login" ]; then shell=$last; fi
  done </etc/passwd
fi
if [ -z "$shell" ] && [ -z "$become" ]; then shell=${SHELL-}; fi
say shell "$shell"
say setsid "$(command -v setsid || :)"

# The file system on which the state directory is, or will be.
case $state in
/*)
  at=$state
  while [ ! -e "$at" ]; do
    at=${at%/*}
    at=${at:-/}
  done
  at=$(cd -P "$at" 2>/dev/null && pwd -P) || at=
  best=0 type=
  if [ -n "$at" ] && [ -r /proc/mounts ]; then
    while read -r x dir kind x; do
      # bash takes "${dir%/}" in a pattern for more than nothing when nothing is left of it.
      above=${dir%/}
      case $at/ in
      "$above"/*) if [ "${#dir}" -ge "$best" ]; then best=${#dir} type=$kind; fi ;;
      esac
    done </proc/mounts
  fi
  say file-system "$type"
  ;;
esac

# What is in a login session's own scope may be ended with the login.
uid=
if [ -r /proc/self/cgroup ]; then
  while IFS= read -r line; do
    case $line in
    */user-*.slice/session-*.scope*)
      uid=${line##*/user-}
      uid=${uid%%.slice*}
      ;;
    esac
  done </proc/self/cgroup
fi
if [ -n "$uid" ]; then
  say session "$uid"
  loginctl show-session -p KillUserProcesses -p KillExcludeUsers -p KillOnlyUsers 2>/dev/null </dev/null || :
fi
