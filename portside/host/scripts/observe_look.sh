# shellcheck shell=bash
# How the central monitoring stack is: its containers, then what it answers. Reads only.
# Arguments: seconds for each question, then NAME SERVICE PORT PATH for each; an answer is printed as it came, after a
# line "@@<name>". A service that did not answer in time isn't asked again: how the others are has to be told as well.
seconds="$1"
shift
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

# HTTP/1.0: the answer ends with the connection, and comes in one piece. Half an answer is none.
# shellcheck disable=SC2016 # the inner Bash expands it
question='exec 8<>"/dev/tcp/$1/$2" && printf "GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" "$3" >&8 && exec cat <&8'

declare -A silent=()
while [ "$#" -ge 4 ]; do
  answer="" code=0
  at=$(address "$2")
  if [ -n "$at" ] && [ -z "${silent[$2]:-}" ]; then
    answer=$(timeout "$seconds" bash -c "$question" ask "$at" "$3" "$4" 2>/dev/null) || code=$?
    [ "$code" = 0 ] || answer=""
    [ "$code" != 124 ] || silent["$2"]=yes
  fi
  printf '@@%s\n%s\n' "$1" "$answer"
  shift 4
done
