"""Calls: the version that each runs, and its receipt."""
