"""The operators' console: pages over the same routes, rules and permissions as the API."""
