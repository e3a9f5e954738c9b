# shellcheck shell=bash
# Break the release lock. The next holder's token is larger, so the present one's steps are turned away.
exec 8>"$site/lock/flock" || fail 76 "there is no site $site_name on this host"
flock -w 10 8 || fail 74 "the lock file of $site_name is busy"
cat "$site/lock/holder.json" 2>/dev/null || true
rm -f "$site/lock/holder.json" "$site/lock/expires"
