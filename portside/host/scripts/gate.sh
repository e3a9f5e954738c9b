# shellcheck shell=bash
# Wait until containers are fit for traffic. Defines functions; used by start.sh, switch.sh and retire.sh.

# One line per container: id, name, status, health, restarts, address at the proxy's network.
gate_format='{{.ID}} {{.Name}} {{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}} {{.RestartCount}} {{with index .NetworkSettings.Networks "portside"}}{{.IPAddress}}{{end}}'

# What one question may take, from the connection to the answer's first line, in seconds.
ready_seconds=2

# True when address $1 answers GET $3 on port $2 with a 2xx status; 2 when it took too long to find out. What it did
# instead is left in `heard`, in words; with `answer` as $4 also what a short answer says, in `answer`.
ready() {
  local status="" asking code=0
  heard="" answer=""
  # Bash connects without a time-out: where packets are dropped, it would be the kernel's, two minutes.
  exec 7< <(
    exec 6<&- 9>&-
    exec 8<>"/dev/tcp/$1/$2" || { printf 'refused\n' && exit; }
    printf 'GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: portside-gate\r\nConnection: close\r\n\r\n' "$3" "$1" >&8
    IFS=' ' read -r _ status _ <&8 && printf '%s\n' "$status"
    [ -z "${4:-}" ] || short_answer
  )
  asking=$!
  read -r -t "$ready_seconds" status <&7 || code=$?
  # The rest is read where it is wanted alone: Bash reads a socket byte by byte.
  if [ -n "${4:-}" ] && [ "$code" = 0 ]; then
    IFS= read -r -t "$ready_seconds" answer <&7 || give_up "$asking"
  fi
  exec 7<&-
  [ "$code" -le 128 ] || {
    give_up "$asking"
    heard="GET $3 on port $2 is not answered within $ready_seconds s"
    return 2
  }
  case "${status%$'\r'}" in
  2??) return 0 ;;
  [1-9]??) heard="GET $3 on port $2 answers ${status%$'\r'}" ;;
  refused) heard="nothing listens on port $2" ;;
  *) heard="GET $3 on port $2 gets no HTTP answer" ;;
  esac
  return 1
}

# End process $1, which asks somebody who doesn't answer; it may have come to its end just now.
give_up() {
  kill "$1" 2>/dev/null || true
}

# What the answer that is read from 8 says behind its first line, in one line, where it is short.
short_answer() {
  local line="" length=""
  while IFS= read -r line && line="${line%$'\r'}" && [ -n "$line" ]; do
    case "${line,,}" in content-length:*) length="${line##*[: ]}" ;; esac
  done <&8
  [ "${length:-1000}" -gt 500 ] || LC_ALL=C IFS= read -r -N "$length" line <&8
  printf '%s\n' "${line//[[:cntrl:]]/ }"
}

# Where this host reaches container $1 of a Swarm: at the Engine's own bridge. Its network's addresses are for containers.
gateway_address() {
  local address
  address=$(docker network inspect --format "{{with index .Containers \"$1\"}}{{.IPv4Address}}{{end}}" docker_gwbridge 2>/dev/null) || return 0
  printf '%s' "${address%/*}"
}

# Look at the containers given by id: fails for one that ended or is unhealthy. Fills `starting` (id to what it waits
# for) with those whose health isn't known yet, `addresses` (name to address) with those that take requests, and `silent`
# with those of them that haven't answered.
look() {
  local lines
  lines=$(docker inspect -f "$gate_format" "$@" 2>&1) || { last_words "$@"; fail 75 "a container of the new release is gone"; }
  starting=() silent=() addresses=()
  while read -r id name status health restarts address; do
    case "$status" in
    running | created) ;;
    *) last_words "$id"; fail 75 "container ${name#/} is $status" ;;
    esac
    [ "$restarts" = 0 ] || { last_words "$id"; fail 75 "container ${name#/} exited and was restarted"; }
    case "$status $health" in
    "running healthy" | "running none") ;;
    "running unhealthy") last_words "$id"; fail 75 "container ${name#/} is unhealthy" ;;
    *) starting["$id"]="${name#/}: $status, health $health" ;;
    esac
    [ -z "$address" ] || silent["${name#/}"]="$address" addresses["${name#/}"]="$address"
  done <<<"$lines"
}

# What one that was killed takes to be back, where its restart policy says so.
fit_seconds=5

# Why release $2 in slot $1 isn't fit for traffic on port $3, readiness path $4; nothing when it is, or turns so soon.
unfit() {
  local why until=$((SECONDS + fit_seconds))
  while :; do
    # Bash clears -e in there: an Engine that doesn't answer is not fitness.
    why=$(unfit_now "$@") || exit "$?"
    [ -n "$why" ] && [ "$SECONDS" -lt "$until" ] || break
    sleep 0.2
  done
  [ -z "$why" ] || printf '%s\n' "$why"
}

unfit_now() {
  local slot="$1" release="$2" port="$3" path="$4" lines="" id name status health restarts address
  find_containers "$slot" "$release"
  [ "${#ids[@]}" -gt 0 ] || printf 'it has no containers\n'
  [ "${#ids[@]}" = 0 ] || lines=$(docker inspect -f "$gate_format" "${ids[@]}" 2>/dev/null) ||
    fail 76 "the Docker Engine does not say how the containers are"
  while read -r id name status health restarts address; do
    [ -n "$id" ] || continue
    name="${name#/}"
    if [ "$status" != running ] || [ "$health" = unhealthy ]; then
      printf 'container %s is %s, health %s\n' "$name" "$status" "$health"
      return 0
    fi
    [ -z "$address" ] || ready "$address" "$port" "$path" 2>/dev/null || {
      printf 'container %s: %s\n' "$name" "$heard"
      return 0
    }
  done <<<"$lines"
}

# Wait $1 seconds, or until the Engine says that a container turned healthy or unhealthy, or died.
# Asking it all the time instead takes more of a small host's time than the service's start.
next_event() {
  local code=0 action="" id=""
  read -r -t "$1" -u 6 action id || code=$?
  # Above 128: the time is up. Else the stream has ended.
  [ "$code" -le 128 ] || return 0
  if [ "$action" = healthy ]; then
    unset 'starting[$id]'
    return 0
  fi
  [ "$code" = 0 ] || sleep 0.1
  return 1
}

# gate <token> <deadline in seconds> <port> <readiness path> <container id …>
# Leaves in `answered` when the last of them answered first, in microseconds.
# shellcheck disable=SC2034 # start.sh uses `answered`
gate() {
  local token="$1" seconds="$2" deadline=$((SECONDS + $2)) port="$3" path="$4" name why code looked
  local waiting=() answers=()
  local -A starting=() silent=() addresses=()
  shift 4
  [ "$#" -gt 0 ] || fail 76 "compose started no container"
  exec 6< <(
    exec 9>&-
    exec timeout "$((seconds + 5))" docker events --since "$EPOCHSECONDS" \
      --format '{{if eq .Action "health_status: healthy"}}healthy{{else}}other{{end}} {{.ID}}' \
      --filter event=health_status --filter event=die "${@/#/--filter=container=}" 2>/dev/null
  )
  events=$!
  trap 'kill "$events" 2>/dev/null || true' EXIT
  look "$@"
  looked="$SECONDS" answered="${EPOCHREALTIME/[.,]/}"
  while :; do
    # The deployer died or was replaced: whoever comes next must not wait for this gate.
    holds "$token" || fail 73 "the release lock of $site_name was lost"
    # Asked while the Engine's health check hasn't had its turn yet: the proxy, which asks too, is then ready as soon.
    for name in "${!silent[@]}"; do
      code=0
      ready "${silent[$name]}" "$port" "$path" 2>/dev/null || code=$?
      # One that took too long is enough for this turn: the lease and the deadline have to be looked at.
      [ "$code" != 2 ] || break
      [ "$code" = 0 ] || continue
      unset 'silent[$name]'
      answered="${EPOCHREALTIME/[.,]/}"
    done
    if [ "${#starting[@]}" = 0 ] && [ "${#silent[@]}" = 0 ]; then
      for name in "${!addresses[@]}"; do
        ready "${addresses[$name]}" "$port" "$path" 2>/dev/null || silent["$name"]="${addresses[$name]}"
      done
      [ "${#silent[@]}" -gt 0 ] || return 0
    fi
    if [ "$SECONDS" -ge "$deadline" ]; then
      look "$@"
      waiting=("${starting[@]}") answers=()
      for name in "${!silent[@]}"; do
        code=0
        ready "${silent[$name]}" "$port" "$path" answer 2>/dev/null || code=$?
        [ "$code" = 0 ] || waiting+=("$name: $heard")
        [ "$code" = 0 ] || [ -z "$answer" ] || answers+=("$name: $answer")
        [ "$code" != 2 ] || break
      done
      answered="${EPOCHREALTIME/[.,]/}"
      [ "${#waiting[@]}" -gt 0 ] || return 0
      last_words "$@"
      [ "${#answers[@]}" = 0 ] || printf -- '--- answer of %s\n' "${answers[@]}"
      printf -v why '; %s' "${waiting[@]}"
      fail 75 "not ready in time: ${why#; }"
    fi
    if [ "${#silent[@]}" -gt 0 ]; then next_event 0.1; else next_event 0.5; fi &&
      # A busy Engine once told nobody that a container had turned healthy.
      [ "$SECONDS" -lt "$((looked + 2))" ] || {
      look "$@"
      looked="$SECONDS"
    }
  done
}
