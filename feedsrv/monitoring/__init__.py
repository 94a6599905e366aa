"""What operators see: the status report, the incident feed and the Prometheus metrics."""
