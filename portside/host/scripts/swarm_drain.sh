# shellcheck shell=bash
# Where the proxies reach a release's tasks: addresses in the site's network, one per line. Reads only.
# Arguments: slot, release.
listed=$(patiently tasks "$1" "$2")
while IFS='|' read -r _ _ state _ addresses _; do
  [ "$state" = running ] || continue
  for address in $addresses; do printf '%s\n' "${address%/*}"; done
done <<<"$listed"
