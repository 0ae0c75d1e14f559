"""Webhooks: endpoints that are told of the events of their organization's log."""
