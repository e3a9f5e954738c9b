# shellcheck shell=bash
# Look at two releases as often as the deployer asks, for its judge: what their containers count, whether they are
# ready, how many of their log lines say error. Reads only, needs no lock, ends with its standard input.
# Arguments: metrics path, pattern of metrics, pattern of error lines, seconds of the old release's logs to count; then
# of the old release ("-": none) and of the new one: slot, release, web service, port, readiness path.
# Standard input: a line for each look: "old" and "new" (metrics and readiness), "ready" (the old one's readiness
# alone), "old-lines" and "new-lines", "errors" (the new one's last). Standard output: parsed by portside/judge/looks.py.
metrics_path="$1" wanted="$2" pattern="$3" span="$4"
shift 4
declare -A slot=([old]="$1" [new]="$6") release=([old]="$2" [new]="$7") web=([old]="$3" [new]="$8")
declare -A port=([old]="$4" [new]="$9") readiness=([old]="$5" [new]="${10}")
# Per side: names and addresses of what takes requests, ids of everything, when it was first there, when its lines were
# counted last. In seconds since the epoch, with a fraction.
declare -A served=() everything=() began=() counted=()

# What takes requests doesn't change while a release is judged: a container that restarts ends it anyway.
find_side() {
  local side="$1" found id name service address started seconds oldest=""
  [ "${release[$side]}" != "-" ] && [ -z "${everything[$side]:-}" ] || return 0
  find_containers "${slot[$side]}" "${release[$side]}"
  [ "${#ids[@]}" -gt 0 ] || return 0
  # Of several containers, an Engine that fails for one has named the others. The next look finds all of them.
  found=$(docker inspect -f '{{.ID}} {{.Name}} {{index .Config.Labels "com.docker.compose.service"}} {{.State.StartedAt}} {{with index .NetworkSettings.Networks "portside"}}{{.IPAddress}}{{end}}' "${ids[@]}") || return 0
  while read -r id name service started address; do
    everything[$side]="${everything[$side]:-}$id "
    [ -n "$address" ] || [ "$service" != "${web[$side]}" ] || address=$(gateway_address "$id")
    [ "$service" != "${web[$side]}" ] || [ -z "$address" ] || served[$side]="${served[$side]:-}${name#/} $address "
    seconds=$(date -d "$started" +%s)
    [ -n "$oldest" ] && [ "$oldest" -le "$seconds" ] || oldest="$seconds"
  done <<<"$found"
  began[$side]="$oldest"
}

# The metrics of address $1, port $2 that the judge asks for.
metrics() {
  local status="" line="" length=""
  exec 7<>"/dev/tcp/$1/$2" || return 1
  # HTTP/1.0: an answer in one piece.
  printf 'GET %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: portside-judge\r\nConnection: close\r\n\r\n' "$metrics_path" "$1" >&7
  IFS=' ' read -r -t 2 _ status _ <&7 || return 1
  case "$status" in 2??) ;; *) return 1 ;; esac
  while IFS= read -r -t 2 line <&7; do
    line="${line%$'\r'}"
    [ -n "$line" ] || break
    case "${line,,}" in content-length:*) length="${line##*[: ]}" ;; esac
  done
  if [ -n "$length" ]; then timeout 2 head -c "$length" <&7; else timeout 2 cat <&7; fi | { grep -E "$wanted" || true; }
}

# One container: its head line, then its metrics.
probe() {
  local side="$1" what="$2" name="$3" address="$4" is=ready answered=silent body="" code=0
  ready "$address" "${port[$side]}" "${readiness[$side]}" || is=unready code=$?
  # One that took too long to say whether it is ready isn't asked for more.
  if [ "$what" = metrics ] && [ "$code" != 2 ] && body=$(metrics "$address" "${port[$side]}"); then answered=answered; fi
  printf '@@container %s %s %s %s\n%s\n' "$side" "$name" "$is" "$answered" "$body"
}

# All web containers of a side at once.
probe_side() {
  local side="$1" what="$2" fd
  local -a open=() words=()
  find_side "$side"
  read -r -a words <<<"${served[$side]:-}"
  set -- "${words[@]}"
  while [ "$#" -gt 1 ]; do
    exec {fd}< <(probe "$side" "$what" "$1" "$2" 2>/dev/null)
    open+=("$fd")
    shift 2
  done
  for fd in "${open[@]}"; do
    cat <&"$fd"
    exec {fd}<&-
  done
}

# Error lines of all containers of a side since they were counted last; the first time, of the last seconds.
count_lines() {
  local side="$1" now="$EPOCHREALTIME" from id some found total=0 milliseconds
  # After a canary its stop-first services are there as well. One that isn't found yet is left to find_side, which looks
  # for more than ids.
  if [ "$side" = new ] && [ -n "${everything[new]:-}" ] && found=$(containers "${slot[new]}" "${release[new]}" 2>/dev/null) && [ -n "$found" ]; then
    everything[new]="${found//$'\n'/ }"
  fi
  [ -n "${everything[$side]:-}" ] || return 0
  from="${counted[$side]:-}"
  if [ -z "$from" ]; then
    from="$now"
    if [ "$side" = old ]; then
      from=$((EPOCHSECONDS - span))
      [ "$from" -ge "${began[$side]}" ] || from="${began[$side]}"
      from="$from.000000"
    fi
  fi
  counted[$side]="$now"
  milliseconds=$(((10#${now/[.,]/} - 10#${from/[.,]/}) / 1000))
  for id in ${everything[$side]}; do
    some=$(nice timeout 8 docker logs --since "${from/,/.}" --until "${now/,/.}" "$id" 2>&1 | { grep -cE -- "$pattern" || true; }) || {
      printf '@@lines %s - 0\n' "$side"
      return 0
    }
    total=$((total + some))
  done
  printf '@@lines %s %s %s.%03d\n' "$side" "$total" "$((milliseconds / 1000))" "$((milliseconds % 1000))"
}

# The last lines that say error of each container of the new release: an undo takes its log away.
last_errors() {
  local id
  for id in ${everything[new]:-}; do
    printf '@@said %s\n' "$id"
    timeout 2 docker logs --tail 300 "$id" 2>&1 | { grep -E -- "$pattern" || true; } | tail -n 3 || true
  done
}

while read -r request; do
  for word in $request; do
    case "$word" in
    old | new) probe_side "$word" metrics ;;
    ready) probe_side old readiness ;;
    old-lines | new-lines) count_lines "${word%-lines}" ;;
    errors) last_errors ;;
    esac
  done
  printf '@@end\n'
done
