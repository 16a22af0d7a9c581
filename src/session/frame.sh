# How both sides speak: the shell's own settings, data as escapes, frames. It comes first in all that travels.
#
# Every frame is lines that start with "@NONCE.SEQ" and a letter. No data is ever compared with them by this side.
LC_ALL=C
export LC_ALL
cd / 2>/dev/null
for hz_x in /usr/local/sbin /usr/sbin /sbin; do
  case ":${PATH-}:" in
  *":$hz_x:"*) ;;
  *) PATH=${PATH:+$PATH:}$hz_x ;;
  esac
done
export PATH
hz_nl='
'

# Data travels as %b escapes in printable characters. mksh has no printf of its own, and a foreign one would put the data
# into an argv; its print knows the same escapes.
hz_lib='
if [ -n "${KSH_VERSION-}" ]; then
hz_put() { print -n -- "$1"; }
hz_line() { print -r -- "$1"; }
else
hz_put() { printf %b "$1"; }
hz_line() { printf "%s\n" "$1"; }
fi
'
eval "$hz_lib"

hz_begin() {
  echo "@$hz_n.$1<"
}
hz_end() {
  echo "@$hz_n.$1>$2"
}
hz_stat() { # pid: hz_st state, hz_pg group, hz_t0 start time
  hz_x=
  { read -r hz_x <"/proc/$1/stat"; } 2>/dev/null
  [ -n "$hz_x" ] || return 1
  set -- ${hz_x##*) }
  hz_st=$1 hz_pg=$3 hz_t0=${20}
}
