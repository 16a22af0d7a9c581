# Four management servers of Brest, as they are after their installation: each alone, with a database and a password of its own.
#
# Why it exists: the world of the Raft zone. Real are systemd, PostgreSQL, sshd, Apache with TLS, Kerberos' keytabs and the
# floating address, which a hook takes and gives up; OpenNebula is a stand-in (`guest/usr/local/sbin/one-standin`).

lab_nodes='front1 front2 front3 front4'
lab_gateway=10.77.0.1/24

address() { # node
  echo "10.77.0.4${1#front}/24"
}
binds() { # run node
  echo "--bind=$1/datastores:/var/lib/one/datastores"
}
furnish_run() { # run
  mkdir "$1/datastores"
}
furnish() { # node root
  n=${1#front}
  {
    echo '127.0.0.1 localhost'
    for i in 1 2 3 4; do echo "10.77.0.4$i front$i front$i.brest.test"; done
  } >"$2/etc/hosts"
  mkdir -p "$2/etc/one/one.d" "$2/etc/one/ssl" "$2/var/lib/one/.one" "$2/var/lib/one/datastores" "$2/var/log/one"
  printf 'BACKEND = "postgresql",\nPASSWD = "of:%s\\\\own"\n' "$1" >"$2/etc/one/one.d/db.conf"
  printf 'FEDERATION = [\n    MODE = "STANDALONE",\n    ZONE_ID = 0,\n    SERVER_ID = -1\n]\n' >"$2/etc/one/one.d/raft.conf"
  echo "brestadmin:of-$1" >"$2/var/lib/one/.one/one_auth"
  # (Apache does not read this one: AstraMode is not Debian's.)
  echo 'AstraMode on' >"$2/etc/apache2/astramode.conf"
  for name in oned onezone onedb brestcloud-raft-configure; do ln -s one-standin "$2/usr/local/sbin/$name"; done
  wants=$2/etc/systemd/system/multi-user.target.wants
  mkdir -p "$wants"
  for unit in opennebula opennebula-sunstone lab-database; do ln -s "/etc/systemd/system/$unit.service" "$wants/"; done
  for unit in postgresql apache2; do ln -s "/lib/systemd/system/$unit.service" "$wants/"; done
  chroot "$2" sh -eu -c '
    useradd --system --home-dir /var/lib/one --no-create-home --shell /bin/bash oneadmin
    chmod 600 /var/lib/one/.one/one_auth
    chown -R oneadmin: /var/lib/one /var/log/one
    a2enmod -q ssl >/dev/null
    printf "addent -password -p HTTP/$1.brest.test@BREST.TEST -k 1 -e aes256-cts-hmac-sha1-96\nof-$1\nwkt /etc/apache2/apache2.keytab\nq\n" |
      ktutil >/dev/null
  ' sh "$1"
}
