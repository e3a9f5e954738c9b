"""What makes a host hard to get into, as values: sshd, Docker's daemon, upgrades, the deploy user's keys."""
