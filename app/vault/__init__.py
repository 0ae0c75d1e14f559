"""Secrets and keys: seal, unseal, destroy."""
