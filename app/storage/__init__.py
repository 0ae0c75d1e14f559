"""The databases: engines, connections, schema and migrations."""
