# Names and places of the lab, and the few things that more than one of its scripts does.
#
# Why it exists: what is started here must be found and ended again by whoever comes next, also after a crash; so the
# names are made in one place. Read with `.`; `here` must be set to this folder.
#
# Everything made at run time bears the run's token: network namespaces hzlab-TOKEN-*, cgroups hzlab-TOKEN-*, files in the
# run's folder. Nothing is ever signalled but a process whose pid and start time were recorded here.

lab_dir=${HAWIZ_LAB_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/hawiz-lab}
# The layer is made anew when what it is made of has changed.
lab_recipe=$(cat "$here/prepare" "$here/layer.sql" | cksum)
lab_layer=$lab_dir/layer-${lab_recipe%% *}
lab_stations='station1 station2'

# Reads the world: which hosts there are, their addresses, and what is on them before they boot. `worlds/NAME/world.sh` sets
# lab_nodes and lab_gateway, and has address NODE, binds RUN NODE, furnish_run RUN, furnish NODE ROOT; beside it lie the site
# file `hawiz.toml`, and in `guest` files for every host.
world() { # name
  lab_world=$here/worlds/$1
  [ -e "$lab_world/world.sh" ] || die "there is no world \`$1\`"
  # shellcheck disable=SC1091
  . "$lab_world/world.sh"
}
# The world of a run.
world_of() { # run
  # (Without one it was torn down before it had any hosts.)
  lab_name=xcat
  { read -r lab_name <"$1/world"; } 2>/dev/null || :
  world "$lab_name"
}
# The address of a station: in the network of the world, from .201 on.
station_address() { # station
  echo "${lab_gateway%.*}.20${1#station}/${lab_gateway#*/}"
}

say() { printf 'lab: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# The start time of a process: with its pid, the name of one process and no other.
born() { # pid
  born_line=
  { read -r born_line <"/proc/$1/stat"; } 2>/dev/null || return 1
  # shellcheck disable=SC2086
  set -- ${born_line##*) }
  # A zombie has ended.
  [ "$1" != Z ] || return 1
  echo "${20}"
}
# Is the process of a note (`PID START`) still there?
lives() { # file
  note_pid='' note_born=''
  { read -r note_pid note_born <"$1"; } 2>/dev/null
  [ -n "$note_pid" ] && [ "$(born "$note_pid")" = "$note_born" ]
}
# Which processes can be seen from here.
pid_space() { readlink /proc/self/ns/pid; }
# Kills the process of a note, and waits until it is gone.
finish() { # file
  tries=0
  while lives "$1" && [ "$tries" -lt 100 ]; do
    kill -KILL "$note_pid" 2>/dev/null
    sleep 0.05
    tries=$((tries + 1))
  done
  ! lives "$1" && rm -f "$1"
}

# Starts a program that lives as long as the run: it is noted in `started`, where `down` finds it.
start() { # run name command...
  start_note=$1/started/$2
  mkdir -p "$1/started"
  shift 2
  setsid "$@" </dev/null >"$start_note.log" 2>&1 &
  echo "$! $(born $!)" >"$start_note"
}

# The roots of the cgroup hierarchies that systemd uses: unified, or both of a hybrid.
cgroup_roots() {
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo /sys/fs/cgroup; return; fi
  for root in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
    if [ -d "$root" ]; then echo "$root"; fi
  done
}

# How a node loses its power, for a site file.
fence_of() { # run node
  printf '[nodes.%s.fence]\nagent    = "%s/fence_lab"\n' "$2" "$here"
  printf 'options  = { ip = "%s", plug = "%s", username = "admin", password = "sesame" }\ndeadline = "10s"\n\n' "$1" "$2"
}
