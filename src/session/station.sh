# What a second station asks of a node: what a run left there, its copies, and to have its lock. Sent when it is wanted, into a
# session that has session.sh.

# Says what stands of every claim of a run, and makes nothing final.
hz_stands() { # of the claim in the current directory
  if hz_code; then
    echo "done $hz_c"
  elif [ ! -e "$hz_f.go" ]; then
    echo claimed
  elif [ -s "$hz_f.go" ]; then
    echo never
  elif hz_alive; then
    echo running
  else
    hz_line "unknown ${hz_no:-its process is gone and left no code}"
  fi
}
hz_claims() { # run
  for hz_d in "$hz_state"/lock/*/????????????????????????????????.who "$hz_state/run.$1"/gen.*/????????????????????????????????.who; do
    hz_d=${hz_d%.who}
    case $hz_d in "${hz_g:--}"/*) [ "$hz_r" = "$1" ] || continue ;; esac
    if [ -f "$hz_d" ]; then hz_line "claim ${hz_d##*/} $(hz_into && hz_stands)"; fi
  done
}
hz_standing() { # seq run, empty: whoever holds the lock
  hz_begin "$1"
  if hz_generation; then
    hz_line "run $hz_r"
    hz_line "generation ${hz_g##*/}"
    hz_line "held $hz_w"
  fi
  hz_v=${2:-$hz_r}
  if [ -n "$hz_v" ]; then (hz_claims "$hz_v"); fi
  hz_end "$1" 0
}
hz_revoke() { # generation that is no lock any more
  hz_line revoked >"$1/revoked"
  for hz_d in "$1"/????????????????????????????????; do
    if [ -f "$hz_d" ]; then ln "$1/revoked" "$hz_d.go" 2>/dev/null; fi
  done
  hz_sync "$1" "$hz_state"
}
# Giving back the lock of a sitting that is known to have ended, if it is that one still.
hz_give() { # seq run generation
  hz_begin "$1"
  if hz_generation && [ "${hz_g##*/}" = "$3" ] && [ "$hz_r" = "$2" ]; then
    hz_y=$hz_state/run.$2
    if hz_x=$( (umask 077 && mkdir -p "$hz_y") && hz_release "$hz_y" 2>&1); then
      hz_revoke "$hz_y/gen.$3"
      (umask 077 && : >"$hz_y/finished")
      echo given
    else
      hz_line "failed $hz_x"
    fi
  fi
  hz_end "$1" 0
}
# Taking the lock away: the reason is where its holder, its run and whoever looks will find it; then the generation is renamed,
# so that nothing new can be claimed or begun in it; then what was claimed in it and has not begun is made final.
hz_break() { # seq words
  hz_begin "$1"
  if hz_generation; then
    hz_y=$hz_state/run.${hz_r:-nameless}
    hz_v=$hz_w
    hz_a=$hz_y/gen.${hz_g##*/}
    if hz_x=$(umask 077 && mkdir -p "$hz_y" && hz_put "$2\n" >"$hz_y/broken" && hz_put "$2\n" >"$hz_g/broken" && hz_release "$hz_y" 2>&1); then
      hz_revoke "$hz_a"
      hz_line "was $hz_v"
    else
      hz_line "failed $hz_x"
    fi
  elif [ -d "$hz_state/lock" ]; then
    rmdir "$hz_state/lock"
  fi
  hz_end "$1" 0
}
# Runs of which there is a copy.
hz_copies() { # seq
  hz_begin "$1"
  for hz_d in "$hz_state"/run.*/plan; do
    if [ -f "$hz_d" ]; then
      hz_d=${hz_d%/plan}
      hz_line "${hz_d##*/run.}"
    fi
  done
  hz_end "$1" 0
}
# The plan, the station that has worked on it last, then the copies: each generation's is one of its own.
hz_fetch() { # seq run
  hz_begin "$1"
  hz_begin "$1" >&2
  hz_station "$2"
  if [ -f "$hz_state/run.$2/plan" ]; then
    hz_line "
@$hz_n.$1="
    cat "$hz_state/run.$2/plan"
    hz_line "
@$hz_n.$1=
$hz_s"
  fi
  for hz_d in "$hz_state"/lock/*/journal "$hz_state/run.$2"/gen.*/journal; do
    [ -f "$hz_d" ] && [ -f "$hz_state/run.$2/plan" ] || continue
    case $hz_d in
    */lock/*)
      hz_generation
      [ "$hz_r" = "$2" ] || continue
      ;;
    esac
    hz_line "
@$hz_n.$1="
    cat "$hz_d"
  done
  hz_end "$1" 0 >&2
  hz_end "$1" 0
}
