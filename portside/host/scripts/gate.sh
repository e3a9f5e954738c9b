# shellcheck shell=bash
# Start containers and wait until they are fit for traffic. Defines functions; used by start.sh and switch.sh.

# One line per container: id, name, status, health, restarts, address at the proxy's network.
gate_format='{{.ID}} {{.Name}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.RestartCount}} {{with index .NetworkSettings.Networks "portside"}}{{.IPAddress}}{{end}}'

# True when address $1 answers GET $3 on port $2 with a 2xx status.
ready() {
  local status=""
  exec 7<>"/dev/tcp/$1/$2" || return 1
  printf 'GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: portside-gate\r\nConnection: close\r\n\r\n' "$3" "$1" >&7
  IFS=' ' read -r -t 2 _ status _ <&7 || true
  exec 7<&- 7>&-
  case "$status" in 2??) return 0 ;; *) return 1 ;; esac
}

# Wait half a second, or until the Engine says that one of the containers turned healthy or unhealthy, or died.
# Asking it every 100 ms instead takes more of a small host's time than the service's start.
next_event() {
  local code=0
  read -r -t 0.5 -u 6 _ || code=$?
  # Above 128: the time is up. Else the stream has ended.
  [ "$code" = 0 ] || [ "$code" -gt 128 ] || sleep 0.1
}

# gate <token> <deadline in seconds> <port> <readiness path> <container id …>
gate() {
  local token="$1" seconds="$2" deadline=$((SECONDS + $2)) port="$3" path="$4" waiting starting lines
  shift 4
  [ "$#" -gt 0 ] || fail 76 "compose started no container"
  exec 6< <(
    exec 9>&-
    exec timeout "$((seconds + 5))" docker events --since "$EPOCHSECONDS" --format '{{.Action}}' \
      --filter event=health_status --filter event=die "${@/#/--filter=container=}" 2>/dev/null
  )
  events=$!
  trap 'kill "$events" 2>/dev/null || true' EXIT
  while :; do
    # The deployer died or was replaced: whoever comes next must not wait for this gate.
    holds "$token" || fail 73 "the release lock of $site_name was lost"
    waiting="" starting=""
    lines=$(docker inspect -f "$gate_format" "$@" 2>&1) || { last_words "$@"; fail 75 "a container of the new release is gone"; }
    while read -r id name status health restarts address; do
      case "$status" in
      running | created) ;;
      *) last_words "$id"; fail 75 "container ${name#/} is $status" ;;
      esac
      [ "$restarts" = 0 ] || { last_words "$id"; fail 75 "container ${name#/} exited and was restarted"; }
      case "$status $health" in
      "running healthy" | "running none")
        if [ -n "$address" ] && ! ready "$address" "$port" "$path" 2>/dev/null; then
          waiting="$waiting ${name#/}: GET $path on port $port does not answer 2xx;"
        fi
        ;;
      "running unhealthy") last_words "$id"; fail 75 "container ${name#/} is unhealthy" ;;
      *) waiting="$waiting ${name#/}: $status, health $health;" starting=1 ;;
      esac
    done <<<"$lines"
    [ -n "$waiting" ] || return 0
    if [ "$SECONDS" -ge "$deadline" ]; then
      last_words "$@"
      fail 75 "not ready in time:$waiting"
    fi
    if [ -n "$starting" ]; then next_event; else sleep 0.1; fi
  done
}
