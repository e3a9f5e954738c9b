# shellcheck shell=bash
# Tell monitoring where the site is asked, after a commit whose deployer died. Arguments: token, begin, end, the target
# file's text. Nothing is recorded: the journal has the commit, and the history shows each that it finds.
guard "$1"
publish_changed "$base/targets/$site_name.site.json" "$4" 2>&1 ||
  printf 'monitoring could not be told where the site is asked\n'
