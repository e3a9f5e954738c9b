"""Releases to a Docker Swarm: the stack's file, its secrets, its nodes, and what each phase does there."""
