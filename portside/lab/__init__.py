"""Hosts to practise on: containers with an sshd and a Docker Engine of their own."""
