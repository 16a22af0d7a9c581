# Looks: all that a session needs which changes nothing. What records steps (session.sh) follows when it is first needed.

# A session that keeps records says with each look that it is there, and notices that its lock was taken (session.sh).
hz_gone=
hz_beat() {
  :
}
# The text is the body of a function, so that nothing of it runs unless all of it was understood; then the tag is printed.
# It runs in a subshell, which costs no exec; the session's process group is its own, so that a late look can be ended.
hz_text() { # tag text
  set -eu
  eval "hawiz_text() { :; $2
}"
  echo "$1"
  unset hz_l hz_x hz_y hz_c
  hawiz_text
}
hz_look() { # seq tag text
  hz_beat
  hz_begin "$1"
  hz_begin "$1" >&2
  (hz_text "$2" "$3") </dev/null
  hz_c=$?
  hz_end "$1" "$hz_c" >&2
  hz_line "@$hz_n.$1>$hz_c$hz_gone"
}
hz_feed() { # seq tag text stdin
  hz_beat
  hz_begin "$1"
  hz_begin "$1" >&2
  hz_put "$4" 2>/dev/null | (hz_text "$2" "$3")
  hz_c=$?
  hz_end "$1" "$hz_c" >&2
  hz_line "@$hz_n.$1>$hz_c$hz_gone"
}
# Text that is not plain ASCII comes as escapes, because not every shell reads every byte; costs a fork.
hz_plain() { # escapes: hz_v
  hz_v=$(hz_put "$1"; echo .)
  hz_v=${hz_v%.}
}
hz_kill() { # seq pid
  hz_begin "$1"
  kill -KILL "-$2" 2>/dev/null
  hz_end "$1" 0
}

# Nothing waits for it: a log that is slow or stuck must not hold up a failover. It has no answer, so that it is done even
# when nobody is there any more who would read one.
hz_syslog() { # seq line
  if command -v logger >/dev/null 2>&1; then logger -t hawiz -- "$(hz_put "$2")" </dev/null >/dev/null 2>&1 & fi
}
