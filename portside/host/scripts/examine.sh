# shellcheck shell=bash
# What `invoke doctor` needs beyond a site's state: every state file by its name, and files that others can read.
# Reads only, needs no lock. Read by portside/doctor.py.
for file in "$site/current.json" "$site"/releases/*/release.json "$site/journal.jsonl" "$site/lock/holder.json" \
  "$base/proxy/config/caddy.json"; do
  [ -e "$file" ] || continue
  printf '@@file %s\n' "$file"
  cat "$file" || true
  printf '\n'
done
for folder in "$site"/releases/*/; do
  [ -e "$folder/release.json" ] || [ ! -d "$folder" ] || printf '@@incomplete %s\n' "${folder%/}"
done
[ ! -d "$site" ] || find "$site" -name env -type f -perm /077 -printf '@@readable %p\n'
