fits() {
  # KIND VALUE: has a value that only the run knows the shape it must have?
  case $1 in
  unit) case $2 in '' | -* | *[!A-Za-z0-9:_.@\\-]*) ;; *) return 0 ;; esac ;;
  address) case $2 in '' | *[!0-9A-Fa-f.:]*) ;; *) return 0 ;; esac ;;
  number) case $2 in '' | *[!0-9]*) ;; *) return 0 ;; esac ;;
  device) case $2 in '' | -* | *[!A-Za-z0-9_.:@-]* | ????????????????*) ;; *) return 0 ;; esac ;;
  path) case $2 in '' | [!/]* | *'
'*) ;; *) return 0 ;; esac ;;
  host) case $2 in '' | -* | *[!A-Za-z0-9_.:%-]*) ;; *) return 0 ;; esac ;;
  hostname) case $2 in '' | -* | *[!A-Za-z0-9_.-]*) ;; *) return 0 ;; esac ;;
  url) case $2 in '' | *[![:graph:]]* | [!h]*) ;; *) return 0 ;; esac ;;
  name) case $2 in '' | -* | *[!A-Za-z0-9_.:+@-]*) ;; *) return 0 ;; esac ;;
  line) case $2 in '' | *'
'*) ;; *) return 0 ;; esac ;;
  word) case $2 in '' | -* | *[![:graph:]]*) ;; *) return 0 ;; esac ;;
  esac
  printf 'this is no %s: %s\n' "$1" "$2" >&2
  return 1
}
