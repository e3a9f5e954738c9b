"""What watches the service: one folder per component, and the generator of the dashboards."""
