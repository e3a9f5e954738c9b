# shellcheck shell=bash
# Tell monitoring where the site is asked, after a commit whose deployer died. Arguments: token, the target file's text.
guard "$1"
publish_changed "$base/targets/$site_name.site.json" "$2" 2>&1 ||
  printf 'monitoring could not be told where the site is asked\n'
