# shellcheck shell=bash
# What a Swarm's managers are asked and told. Defines functions. A slot is a stack, its services have the release's label:
# whoever comes late must not touch what another release has in the same slot by now.

# As docker, of a Swarm's objects: a manager that has lost its quorum may answer late or never.
swarm() {
  timeout 20 docker "$@"
}

# True on a node that may change the Swarm.
manages() {
  [ "$(swarm info --format '{{.Swarm.ControlAvailable}}' 2>/dev/null)" = true ]
}

# The services of release $2 in slot $1, one per line.
stack_services() {
  swarm service ls --format '{{.Name}}' --filter "label=com.docker.stack.namespace=$site_name-$1" \
    --filter "label=dev.portside.release=$2"
}

# The tasks of release $2 in slot $1, one per line: id|service|state|desired state|addresses|node|error.
tasks() {
  local found
  # Fails where there is none, or not yet.
  found=$(swarm stack ps --quiet --no-trunc "$site_name-$1" 2>/dev/null) || return 0
  [ -n "$found" ] || return 0
  mapfile -t found <<<"$found"
  # One that has just been removed is no reason to know nothing of the others.
  { swarm inspect --type task --format '{{index .Spec.ContainerSpec.Labels "dev.portside.release"}}|{{.ID}}|{{index .Spec.ContainerSpec.Labels "com.docker.compose.service"}}|{{.Status.State}}|{{.DesiredState}}|{{range .NetworksAttachments}}{{range .Addresses}}{{.}} {{end}}{{end}}|{{.NodeID}}|{{.Status.Err}}' \
    "${found[@]}" 2>/dev/null || true; } | sed -n "s/^$2|//p"
}

# Tasks of release $2 in slot $1 that are over, as one word: how those ended is no news.
bygone() {
  tasks "$1" "$2" | sed '/|running|/d; s/|.*//' | tr '\n' ' '
}

# scale SERVICE N. Several managers may be at it at once, and then all but one are told that they are late.
scale() {
  local attempt said=""
  for attempt in 1 2 3 4 5 6; do
    said=$(swarm service scale --detach "$1=$2" 2>&1) && return 0
    [ -n "$(swarm service ls --quiet --filter "name=$1")" ] || return 0
    sleep "0.$attempt"
  done
  fail 75 "service $1 could not be scaled to $2: $said"
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

# converge TOKEN DEADLINE SLOT RELEASE IGNORED SERVICE=N …: wait until as many tasks run, which a Swarm says of a container
# that has a health check when it is healthy. One that ends fails it at once; `IGNORED` are tasks of earlier, as one word.
converge() {
  local token="$1" deadline="$2" slot="$3" release="$4" ignored=" $5 " wanted waiting id service state desired error
  local -A running=()
  shift 5
  while :; do
    holds "$token" || fail 73 "the release lock of $site_name was lost"
    running=() waiting=""
    while IFS='|' read -r id service state desired _ _ error; do
      case "$ignored" in *" $id "*) continue ;; esac
      case "$state" in
      running) [ "$desired" != running ] || running[$service]=$((${running[$service]:-0} + 1)) ;;
      failed)
        last_task_words "$id" "$error"
        fail 75 "a container of $service ended: $error"
        ;;
      rejected) waiting="$waiting $service: $error;" ;;
      esac
    done < <(tasks "$slot" "$release")
    for wanted in "$@"; do
      [ "${running[${wanted%=*}]:-0}" -ge "${wanted#*=}" ] ||
        waiting="$waiting ${wanted%=*}: ${running[${wanted%=*}]:-0} of ${wanted#*=} run and are healthy;"
    done
    # What was rejected on one node may run on another by now.
    case "$waiting" in *" of "*) ;; *) return 0 ;; esac
    if [ "$SECONDS" -ge "$deadline" ]; then
      while IFS='|' read -r id service state desired _ _ error; do
        [ "$state" = running ] || [ "$desired" != running ] || last_task_words "$id" "$state${error:+, $error}"
      done < <(tasks "$slot" "$release")
      fail 75 "not ready in time:$waiting"
    fi
    sleep 0.3
  done
}
