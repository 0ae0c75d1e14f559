"""Webhooks: endpoints that receive the events of their organization's log."""
