"""Secrets: which values are secret, what stands in their place, and where each may be sent."""
