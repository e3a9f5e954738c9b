"""Who is told of which alert, and what the service promises: files for Alertmanager and Prometheus of portside.toml."""
