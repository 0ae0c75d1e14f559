"""The HTTP API: requests, responses, errors, OpenAPI and the routes."""
