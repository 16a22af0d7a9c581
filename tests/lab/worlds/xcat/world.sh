# Two xCAT management nodes with one shared folder, both standby, after a cluster was set up.
#
# Why it exists: the world of the failover: what may be active once only is the address, the database on the shared data, and
# the management services (stand-ins as units, in `guest`).

lab_nodes='xcatmn1 xcatmn2'
lab_gateway=10.5.106.1/8

address() { # node
  case $1 in xcatmn1) echo 10.5.106.70/8 ;; xcatmn2) echo 10.5.106.5/8 ;; esac
}
binds() { # run node
  echo "--bind=$1/share:/HA"
}
furnish_run() { # run
  share=$1/share
  mkdir -p "$share/install" "$share/etc/xcat" "$share/root/.xcat" "$share/tftpboot" "$share/var/lib"
  cp -a "$lab_layer/var/lib/postgresql" "$share/var/lib/"
  echo 'Pg:dbname=xcatdb;host=10.5.106.7|xcatadm|secret' >"$share/etc/xcat/cfgloc"
}
furnish() { # node root
  printf '%s\n' '127.0.0.1 localhost' '10.5.106.7 xcatmn1 xcatmn1.cluster.com' '10.5.106.70 mn70' '10.5.106.5 xcatmn2' >"$2/etc/hosts"
  printf 'search cluster.com\nnameserver 10.5.106.1' >"$2/etc/resolv.conf"
  mkdir -p "$2/HA"
  mv "$2/var/lib/postgresql" "$2/var/lib/postgresql.local"
  for path in /install /etc/xcat /root/.xcat /tftpboot /var/lib/postgresql; do
    ln -s "/HA$path" "$2$path"
  done
}
