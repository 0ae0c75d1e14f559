"""The audit log: search, export, prove, verify."""
