"""The engine that builds, ships, releases and undoes releases of a service over SSH."""
