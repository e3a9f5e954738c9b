# shellcheck shell=bash
# One HTTP request to a program of this machine, without a client that a host may lack. Arguments: host, port, method,
# path, seconds. Standard input: the body, JSON. Standard output: the answer's body; fails unless its status is 2xx.
host="$1" port="$2" method="$3" path="$4" seconds="$5"
body=$(cat)
answer=$(
  exec 2>/dev/null
  # Lengths in bytes.
  LC_ALL=C
  exec 7<>"/dev/tcp/$host/$port" || exit 1
  printf '%s %s HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %s\r\n\r\n%s' \
    "$method" "$path" "${#body}" "$body" >&7
  timeout "$seconds" cat <&7
) || fail 75 "nothing answers at $host:$port within $seconds s"
status="${answer#* }"
case "$status" in
2*) printf '%s\n' "${answer#*$'\r\n\r\n'}" ;;
*) fail 75 "$host:$port answered ${status%%$'\r'*}" ;;
esac
