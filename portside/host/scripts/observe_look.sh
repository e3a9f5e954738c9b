# shellcheck shell=bash
# How the central monitoring stack is: its containers, then what it answers. Reads only.
# Arguments: NAME SERVICE PORT PATH for each question; an answer is printed as it came, after a line "@@<name>".
format='{{index .Config.Labels "com.docker.compose.service"}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.RestartCount}} {{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}'
ids=() containers=""
found=$(docker ps -aq --filter "label=com.docker.compose.project=portside-observability") ||
  fail 76 "the Docker Engine does not answer"
[ -z "$found" ] || mapfile -t ids <<<"$found"
[ "${#ids[@]}" = 0 ] || containers=$(docker inspect -f "$format" "${ids[@]}")
printf '@@containers\n%s\n' "$containers"

address() {
  awk -v service="$1" '$1 == service && $2 == "running" {print $5}' <<<"$containers"
}

ask() {
  exec 8<>"/dev/tcp/$1/$2" || return 0
  # HTTP/1.0: the answer ends with the connection, and comes in one piece.
  printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$3" >&8
  timeout 10 cat <&8 || true
  exec 8<&- 8>&-
}

while [ "$#" -ge 4 ]; do
  printf '@@%s\n' "$1"
  at=$(address "$2")
  [ -z "$at" ] || ask "$at" "$3" "$4" 2>/dev/null
  printf '\n'
  shift 4
done
