"""Traces by OpenTelemetry, for operators who ask for them."""
