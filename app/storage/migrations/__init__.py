"""The schema, migration by migration."""
