"""What the service counts, and how Prometheus reads it."""
