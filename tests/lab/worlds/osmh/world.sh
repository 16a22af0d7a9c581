# A load balancer, two management stations with one volume, an instance that asks; nothing is set up yet.
#
# Why it exists: the world of OS Management Hub. HAProxy is the real one with Debian's own configuration; the stations, the
# Management Agent and `instance-setup.sh` are stand-ins (`guest`), since Oracle's need Oracle's service. The volume that all
# stations share lies on each of them at /volume, and is mounted by nobody.

lab_nodes='lb sta stb web1'
lab_gateway=10.77.0.1/24

address() { # node
  case $1 in lb) echo 10.77.0.30/24 ;; sta) echo 10.77.0.31/24 ;; stb) echo 10.77.0.32/24 ;; web1) echo 10.77.0.41/24 ;; esac
}
binds() { # run node
  case $2 in st?) echo "--bind=$1/volume:/volume" ;; esac
}
furnish_run() { # run
  mkdir "$1/volume"
}
furnish() { # node root
  printf '%s\n' '127.0.0.1 localhost' '10.77.0.30 loadbalancer.example.com lb' '10.77.0.31 sta' '10.77.0.32 stb' '10.77.0.41 web1' \
    >"$2/etc/hosts"
  : >"$2/etc/fstab"
  mkdir -p "$2/mnt/mirror"
  # What is not this host's is not on it.
  case $1 in
    st?) ;;
    *) rm "$2/etc/systemd/system/osmh-station.service" ;;
  esac
}
