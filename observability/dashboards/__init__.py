"""Grafana's dashboards as code: values in, plain JSON out. `python -m observability.dashboards` writes them.

A panel is a value of `panels.py`, a dashboard one module that says what is on it. How to add one: docs/dashboards.md.
"""
