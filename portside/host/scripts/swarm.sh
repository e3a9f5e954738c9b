# shellcheck shell=bash
# What a Swarm's managers are asked and told. Defines functions. A slot is a stack, its services have the release's label:
# whoever comes late must not touch what another release has in the same slot by now.

# As docker, of a Swarm's objects: a manager that has lost its quorum may answer late or never.
swarm() {
  timeout 20 docker "$@"
}

# patiently COMMAND …: its output, asked again where a Swarm has no leader for the moment. No answer is no "nothing".
patiently() {
  local said
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    if said=$("$@"); then
      [ -z "$said" ] || printf '%s\n' "$said"
      return 0
    fi
    sleep 1
  done
  fail 76 "the Swarm does not answer"
}

# Without an Engine, `docker info` says false, and succeeds.
control_available() {
  local said
  said=$(swarm info --format '{{.ServerVersion}}|{{.Swarm.ControlAvailable}}' 2>/dev/null) && [ -n "${said%%|*}" ] &&
    printf '%s\n' "${said#*|}"
}

# True on a node that may change the Swarm.
manages() {
  local control
  control=$(patiently control_available) || exit "$?"
  [ "$control" = true ]
}

# Nothing of the Swarm is on a network that this host alone has, and by the site's name the Engine may mean that one.
refuse_own_network() {
  local found
  found=$(swarm network ls --filter scope=local --format '{{.Name}}') || fail 76 "the Docker Engine does not answer"
  case $'\n'"$found"$'\n' in
  *$'\n'"$site_name"$'\n'*)
    fail 76 "network $site_name is this host's own and none of the Swarm's: stop what is on it (docker network inspect $site_name) and remove it: docker network rm $site_name. What was an accessory there comes back with: invoke accessories"
    ;;
  esac
}

# A node that doesn't manage makes no network of the Swarm, and can't tell whether there is one.
fail_unseen_network() {
  fail 76 "network $site_name isn't seen on this host: a worker of a Swarm has it only while something is on it, and who is in no Swarm never. Name a manager (docker node ls) in accessory_hosts of portside.toml"
}

# What inspecting container $1 says in format $2: nothing where there is no such container.
container_says() {
  local said
  said=$(swarm inspect --type container --format "$2" "$1" 2>&1) || case "$said" in
  *"o such container"*) said="" ;;
  *) fail 76 "the Docker Engine does not answer: $said" ;;
  esac
  # What the client has to warn of comes before it.
  printf '%s\n' "${said##*$'\n'}"
}

# The services of release $2 in slot $1, into the array `services`.
# shellcheck disable=SC2034 # whoever calls this uses `services`
find_services() {
  local found
  found=$(patiently swarm service ls --format '{{.Name}}' --filter "label=com.docker.stack.namespace=$site_name-$1" \
    --filter "label=dev.portside.release=$2") || exit "$?"
  services=()
  [ -z "$found" ] || mapfile -t services <<<"$found"
}

# The tasks of release $2 in slot $1, one per line: id|service|state|desired state|addresses|node|error. Fails where the
# Swarm doesn't say.
tasks() {
  local said found
  if ! said=$(swarm stack ps --quiet --no-trunc "$site_name-$1" 2>&1); then
    # There is no task, or not yet: docker/cli, cli/command/stack/ps.go.
    case "$said" in *"nothing found in stack"*) return 0 ;; *) return 1 ;; esac
  fi
  [ -n "$said" ] || return 0
  mapfile -t found <<<"$said"
  # One that has just been removed is no reason to know nothing of the others.
  said=$(swarm inspect --type task --format '{{index .Spec.ContainerSpec.Labels "dev.portside.release"}}|{{.ID}}|{{index .Spec.ContainerSpec.Labels "com.docker.compose.service"}}|{{.Status.State}}|{{.DesiredState}}|{{range .NetworksAttachments}}{{range .Addresses}}{{.}} {{end}}{{end}}|{{.NodeID}}|{{.Status.Err}}' \
    "${found[@]}" 2>/dev/null || true)
  [ -n "$said" ] || return 1
  sed -n "s/^$2|//p" <<<"$said"
}

# Tasks of release $2 in slot $1 that are over, as one word: how those ended is no news.
bygone() {
  patiently tasks "$1" "$2" | sed '/|running|/d; s/|.*//' | tr '\n' ' '
}

# The tasks of service $3 of release $2 in slot $1 that may run, as one word.
live() {
  patiently tasks "$1" "$2" |
    sed -nE "s/^([^|]*)\|$3\|(assigned|accepted|preparing|ready|starting|running)\|.*/\1/p" | tr '\n' ' '
}

# Whether task $1 has ended. One that was scaled away is in no list any more, and can be asked for until it has. What is
# on a node that the Swarm has given up counts as ended: it would be started elsewhere, too.
over() {
  local said state node
  said=$(swarm inspect --type task --format '{{.Status.State}} {{.NodeID}}' "$1" 2>&1) || case "$said" in
  *"o such task"* | *"not found"*) return 0 ;;
  *) return 1 ;;
  esac
  read -r state node <<<"$said"
  case "$state" in
  assigned | accepted | preparing | ready | starting | running) ;;
  *) return 0 ;;
  esac
  [ "$(swarm node inspect --format '{{.Status.State}}' "$node" 2>/dev/null)" = down ]
}

# Whether task $1 is to go on: it was about to be scaled away, and wasn't.
remains() {
  local desired
  desired=$(swarm inspect --type task --format '{{.DesiredState}}' "$1" 2>/dev/null) || return 1
  case "$desired" in ready | running) ;; *) return 1 ;; esac
}

# scale SERVICE N. Several managers may be at it at once, and then all but one are told that they are late.
scale() {
  local attempt there said=""
  for attempt in 1 2 3 4 5 6; do
    said=$(swarm service scale --detach "$1=$2" 2>&1) && return 0
    if there=$(swarm service ls --quiet --filter "name=$1") && [ -z "$there" ]; then return 0; fi
    sleep "0.$attempt"
  done
  fail 75 "service $1 could not be scaled to $2: $said"
}

# Remove the service of job $1, if there is one.
remove_job() {
  local there
  for _ in 1 2 3 4 5; do
    swarm service rm "$1" >/dev/null 2>&1 || true
    there=$(patiently swarm service ls --quiet --filter "name=$1") || exit "$?"
    [ -n "$there" ] || return 0
    sleep 0.3
  done
  fail 75 "job $1 could not be removed from the Swarm"
}

# Wait until job $1, which was removed, has ended on this node: it may be at the database.
await_job_end() {
  local left deadline=$((SECONDS + 45))
  while :; do
    left=$(swarm ps --quiet --filter "label=com.docker.swarm.service.name=$1") || left=unknown
    [ -n "$left" ] || return 0
    [ "$SECONDS" -lt "$deadline" ] || fail 75 "job $1 was removed from the Swarm and still runs here"
    sleep 0.2
  done
}

# The last $2 lines that task $1 said, wherever it ran. A manager may know that a task has ended before its node can be
# asked what it said.
task_logs() {
  local said=""
  for _ in 1 2 3 4 5 6; do
    said=$(timeout 10 docker service logs --raw --tail "$2" "$1" 2>&1) || true
    [ -z "$said" ] || break
    sleep 0.5
  done
  printf '%s\n' "$said"
}

# The end of what a task said, for an error.
last_task_words() {
  printf -- '--- last log lines of task %s (%s)\n' "$1" "$2"
  task_logs "$1" 20
}

# lacking SLOT RELEASE SERVICE=N …: what doesn't run of that, or nothing. Fails where the Swarm doesn't say.
lacking() {
  local slot="$1" release="$2" wanted listed service state desired
  local -A running=()
  shift 2
  listed=$(tasks "$slot" "$release") || return 1
  while IFS='|' read -r _ service state desired _; do
    [ "$state $desired" != "running running" ] || running[$service]=$((${running[$service]:-0} + 1))
  done <<<"$listed"
  for wanted in "$@"; do
    [ "${running[${wanted%=*}]:-0}" -ge "${wanted#*=}" ] ||
      printf ' %s of %s %s containers run;' "${running[${wanted%=*}]:-0}" "${wanted#*=}" "${wanted%=*}"
  done
}

# converge TOKEN DEADLINE SLOT RELEASE IGNORED SERVICE=N …: wait until as many tasks run, which a Swarm says of a container
# that has a health check when it is healthy. One that ends fails it at once; `IGNORED` are tasks of earlier, as one word.
converge() {
  local token="$1" deadline="$2" slot="$3" release="$4" ignored=" $5 " wanted waiting rejected listed id service state desired error
  local -A running=()
  shift 5
  while :; do
    holds "$token" || fail 73 "the release lock of $site_name was lost"
    running=() waiting="" rejected=""
    # Without an answer nothing is known to run, and it is asked again.
    listed=$(tasks "$slot" "$release") || listed=""
    while IFS='|' read -r id service state desired _ _ error; do
      case "$ignored" in *" $id "*) continue ;; esac
      case "$state" in
      running) [ "$desired" != running ] || running[$service]=$((${running[$service]:-0} + 1)) ;;
      failed | complete)
        last_task_words "$id" "$error"
        fail 75 "a container of $service ended: ${error:-exited with code 0}"
        ;;
      rejected) rejected="$rejected $service: $error;" ;;
      esac
    done <<<"$listed"
    for wanted in "$@"; do
      [ "${running[${wanted%=*}]:-0}" -ge "${wanted#*=}" ] ||
        waiting="$waiting ${wanted%=*}: ${running[${wanted%=*}]:-0} of ${wanted#*=} run and are healthy;"
    done
    # What was rejected on one node may run on another by now.
    [ -n "$waiting" ] || return 0
    if [ "$SECONDS" -ge "$deadline" ]; then
      while IFS='|' read -r id service state desired _ _ error; do
        [ "$state" = running ] || [ "$desired" != running ] || last_task_words "$id" "$state${error:+, $error}"
      done <<<"$listed"
      fail 75 "not ready in time:$rejected$waiting"
    fi
    sleep 0.3
  done
}
