#!/bin/sh
# vip.sh leader|follower INTERFACE ADDRESS/PREFIX: the floating address comes and goes with the leader.
#
# With /etc/one/keeps-address the follower's part fails: that is the known fault.
case $1 in
  leader)
    ip addr add "$3" dev "$2" 2>/dev/null
    arping -q -c 2 -U -I "$2" "${3%/*}"
    ;;
  follower)
    [ ! -e /etc/one/keeps-address ] || exit 1
    ip addr del "$3" dev "$2" 2>/dev/null
    ;;
esac
exit 0
