# The lock of a node, the copy of a run's record and the register: the part of the session that two stations meet in. It follows
# frame.sh and look.sh at the first call that needs it; the client sets hz_leader before. What makes steps (session.sh) comes
# later, because all of it together is more than a fresh connection sends without waiting for an acknowledgement.

# The login's.
hz_umask=$(umask)

# --- the lock --------------------------------------------------------------------------------------------------------
# STATE/lock is made by mkdir and holds one directory, the generation, named by its taker; claims are made inside it, and
# who renames it has the lock. What it said and claimed is kept in STATE/run.RUN when it is given back.
#
# A run may come to another station, which has a name of its own; STATE/run.RUN/station says which has worked on it last. A
# run that comes with a journal in which that station does not stand knows less than the node: it is not let in.
hz_gen='' hz_gone=''
# When the holder was heard of last, for whoever meets the lock; nothing is ever decided by it. Costs no program. Where there is
# no such generation any more, the end of a look says so.
hz_beat() {
  [ -n "$hz_gen" ] || return 0
  { read -r hz_x hz_y </proc/uptime && hz_line "$hz_boot ${hz_x%.*}" >"$hz_gen/heard"; } 2>/dev/null
  if [ ! -d "$hz_gen" ]; then hz_taken "${hz_gen##*/}" && hz_gone=" $hz_v"; fi
}
hz_silence() { # adds to hz_w for how long the holder of hz_g has been silent
  hz_x='' hz_y='' hz_z=''
  { read -r hz_x hz_y <"$hz_g/heard" && read -r hz_z hz_e </proc/uptime; } 2>/dev/null
  [ -n "$hz_y" ] && [ -n "$hz_z" ] || return 0
  hz_y=$((${hz_z%.*} - hz_y))
  if [ "$hz_x" != "$hz_boot" ]; then
    hz_y="before the node was rebooted"
  elif [ "$hz_y" -lt 60 ]; then
    hz_y="$hz_y s ago"
  elif [ "$hz_y" -lt 5400 ]; then
    hz_y="$((hz_y / 60)) min ago"
  elif [ "$hz_y" -lt 172800 ]; then
    hz_y="$((hz_y / 3600)) h ago"
  else
    hz_y="$((hz_y / 86400)) days ago"
  fi
  hz_w="$hz_w, last heard of $hz_y"
}
hz_generation() { # hz_g: the generation that is there now, its run and words in hz_r and hz_w
  hz_g='' hz_r='' hz_w=''
  for hz_x in "$hz_state"/lock/*; do
    if [ -d "$hz_x" ]; then hz_g=$hz_x; fi
  done
  [ -n "$hz_g" ] || return 1
  { read -r hz_r && read -r hz_w; } 2>/dev/null <"$hz_g/info"
  hz_w=${hz_w:-somebody whose name cannot be read}
  hz_silence
}
hz_station() { # run: hz_s the station that has worked on it last, hz_v who that was, hz_z why its lock was broken, with hz_v too
  hz_s='' hz_v='' hz_z=''
  { read -r hz_s && IFS= read -r hz_v && IFS= read -r hz_z; } 2>/dev/null <"$hz_state/run.$1/station"
  { IFS= read -r hz_z <"$hz_state/run.$1/broken"; } 2>/dev/null
  hz_v=$hz_v${hz_z:+; $hz_z}
}
hz_sync() {
  sync "$@" 2>/dev/null || sync
}
hz_take() { # run marker generation id words stations, its own last
  umask 022
  mkdir -p "$hz_state" || return
  if [ ! -s "$hz_state/id" ]; then
    hz_line "$4" >"$hz_state/id.$3" || return
    ln "$hz_state/id.$3" "$hz_state/id" 2>/dev/null
    rm -f "$hz_state/id.$3"
    [ -s "$hz_state/id" ] || { echo "the node's identity could not be written to $hz_state/id"; return 1; }
    hz_sync "$hz_state/id" "$hz_state"
  fi
  hz_own=$hz_state/run.$1
  (umask 077 && mkdir -p "$hz_own") || return
  mkdir -m 711 "$hz_own/$3" && hz_line "$1
$5" >"$hz_own/$3/info" && hz_line "$hz_lib$hz_leader" >"$hz_own/$3/leader" || return
  hz_tries=0
  while :; do
    if mkdir "$hz_state/lock" 2>/dev/null; then
      mv "$hz_own/$3" "$hz_state/lock/$3" || return
      break
    fi
    if [ ! -d "$hz_state/lock" ]; then
      mkdir "$hz_state/lock" || return
      rmdir "$hz_state/lock"
      continue
    fi
    if hz_generation; then
      hz_station "$1"
      if [ "$hz_r" != "$1" ]; then
        rm -rf "${hz_own:?}/$3"
        hz_line "held $hz_w"
        return
      elif [ -n "$hz_s" ] && [ "$hz_s" != "${6##* }" ]; then
        rm -rf "${hz_own:?}/$3"
        hz_line "taken it is held by $hz_w"
        return
      fi
      hz_old=${hz_g##*/}
      if mv "$hz_g" "$hz_own/gen.$hz_old" 2>/dev/null; then
        mv "$hz_own/$3" "$hz_state/lock/$3" || return
        break
      fi
      [ ! -d "$hz_g" ] || { mv "$hz_g" "$hz_own/gen.$hz_old"; return 1; }
    else
      # Somebody is between two steps of taking or giving back; if that was a crash, the empty lock is nobody's.
      hz_tries=$((hz_tries + 1))
      sleep 1
      if [ "$hz_tries" -gt 1 ]; then rmdir "$hz_state/lock" 2>/dev/null; fi
    fi
    if [ "$hz_tries" -gt 5 ]; then echo "the lock $hz_state/lock is neither free nor held"; return 1; fi
  done
  # Two takers can only meet here if one of them was frozen for seconds between its mkdir and its mv: the later one yields.
  for hz_x in "$hz_state"/lock/*; do
    if [ -d "$hz_x" ] && [ "$hz_x" != "$hz_state/lock/$3" ]; then
      mv "$hz_state/lock/$3" "$hz_own/gen.$3"
      hz_generation
      hz_line "held $hz_w"
      return
    fi
  done
  hz_station "$1"
  case " $6 " in
  *" ${hz_s:-${6##* }} "*) ;;
  *)
    mv "$hz_state/lock/$3" "$hz_own/gen.$3" && rmdir "$hz_state/lock" && hz_line "taken it went on with $hz_v"
    return
    ;;
  esac
  hz_line "${6##* }
$5
$hz_z" >"$hz_own/station" || return
  rm -f "$hz_own/broken"
  hz_e=$hz_own/marker
  if [ ! -s "$hz_own/marker" ]; then hz_line "$2" >"$hz_own/marker" || return; hz_e=; fi
  rm -f "$hz_own/finished"
  hz_sync "$hz_own/marker" "$hz_own/station" "$hz_own" "$hz_state" "$hz_state/lock"
  for hz_x in "$hz_state"/run.*; do
    if [ -e "$hz_x/finished" ] && [ -n "$(find "$hz_x/finished" -prune -mtime +30 2>/dev/null)" ]; then
      rm -rf "$hz_x" 2>/dev/null
    fi
  done
  hz_line ours
  if [ -n "$hz_e" ]; then hz_later; fi
  if [ -s "$hz_own/plan" ]; then hz_line plan; fi
}
# Other runs that have begun a step here after this one did so last, or, where it never did, after it came here first. By the
# node's own clock, whatever the stations' clocks say.
hz_later() {
  hz_y=$hz_own/marker
  for hz_x in "$hz_own"/gen.*/*.go; do
    if [ -e "$hz_x" ] && [ -n "$(find "$hz_x" -prune -size 0 -newer "$hz_y")" ]; then hz_y=$hz_x; fi
  done
  for hz_x in "$hz_state"/run.*; do
    if [ "$hz_x" != "$hz_own" ] && [ -n "$(find "$hz_x"/gen.* -name '*.go' -size 0 -newer "$hz_y" 2>/dev/null)" ]; then
      hz_line "later ${hz_x##*/run.}"
    fi
  done
}
hz_lock() { # seq run marker generation id words stations
  hz_begin "$1"
  if [ -n "$hz_why" ]; then
    if hz_generation && [ "$hz_r" != "$2" ]; then hz_line "held $hz_w"; else hz_line "impossible $hz_why"; fi
  elif hz_x=$(hz_take "$2" "$3" "$4" "$5" "$(hz_put "$6")" "$7" 2>&1); then
    hz_line "$hz_x"
    hz_gen=$hz_state/lock/$4
    [ -d "$hz_gen" ] || hz_gen=
    hz_gone=
    hz_beat
  else
    hz_line "impossible $hz_x"
  fi
  { read -r hz_id <"$hz_state/id"; } 2>/dev/null
  hz_line "id $hz_id"
  hz_end "$1" 0
}
hz_release() { # directory for the record
  hz_x=${hz_g##*/}
  mv "$hz_g" "$1/gen.$hz_x" && rmdir "$hz_state/lock"
}
hz_who() { # seq
  hz_begin "$1"
  if hz_generation; then hz_line "held $hz_w"; fi
  for hz_d in "$hz_state"/run.*/broken; do
    { IFS= read -r hz_x <"$hz_d" && hz_d=${hz_d%/broken} && hz_line "broken ${hz_d##*/run.} $hz_x"; } 2>/dev/null
  done
  hz_end "$1" 0
}
hz_unlock() { # seq run generation
  hz_begin "$1"
  hz_gen='' hz_gone=''
  if hz_generation && [ "${hz_g##*/}" = "$3" ]; then
    if hz_x=$(hz_release "$hz_state/run.$2" 2>&1); then
      (umask 077 && : >"$hz_state/run.$2/finished")
    else
      hz_line "failed $hz_x"
    fi
  fi
  hz_end "$1" 0
}
hz_ours() { # seq
  hz_beat
  hz_begin "$1"
  if [ -n "$hz_gone" ]; then hz_line "taken$hz_gone"; fi
  hz_end "$1" 0
}
hz_taken() { # generation: hz_v, who took its lock away
  hz_v=
  for hz_x in "$hz_state"/run.*/gen."$1"/broken; do
    { IFS= read -r hz_v <"$hz_x"; } 2>/dev/null
  done
  hz_v="the lock was taken over${hz_v:+; $hz_v}"
  if hz_generation; then hz_v="$hz_v; it is held by $hz_w"; fi
}

# --- the copy --------------------------------------------------------------------------------------------------------
# A copy of the run's journal lies in the generation, so that whoever lost the lock cannot write into what came after. It has
# no answer and stops nothing: where a piece of it is missing, its lines are numbered, and hz_torn has the next step say so.
hz_torn=
hz_copy() { # run generation lines
  hz_x=$hz_state/lock/$2
  # The last words of a run come after it gave the lock back, and only then.
  if [ ! -d "$hz_x" ]; then
    [ -e "$hz_state/run.$1/finished" ] || return 0
    hz_x=$hz_state/run.$1/gen.$2
  fi
  umask 077
  { hz_put "\n$3" >>"$hz_x/journal"; } 2>/dev/null || hz_torn=1
  umask "$hz_umask"
}
hz_plan() { # run text
  hz_x=$hz_state/run.$1/plan
  (umask 077 && hz_put "$2" >"$hz_x.$$" && mv "$hz_x.$$" "$hz_x" || rm -f "$hz_x.$$") 2>/dev/null
}

# --- the register ---------------------------------------------------------------------------------------------------
# Which node a system is active on, and what is owed: STATE/system.NAME. It begins with its epoch, and no older one comes
# in the place of a newer.
hz_inscribe() { # seq name epoch text
  hz_begin "$1"
  hz_y=$hz_state/system.$2
  hz_v=0
  { read -r hz_x hz_v <"$hz_y"; } 2>/dev/null
  if [ "${hz_v:-0}" -gt "$3" ]; then
    hz_line "newer $hz_v"
  elif hz_x=$( (umask 022 && hz_put "$4" >"$hz_y.new" && hz_sync "$hz_y.new" && mv "$hz_y.new" "$hz_y" && hz_sync "$hz_state") 2>&1); then
    echo written
  else
    hz_line "failed $hz_x"
  fi
  hz_end "$1" 0
}
