"""The API's part of the application: one router for each file of routes."""

from __future__ import annotations

from app.api.routes import (
    activity,
    api_keys,
    assistants,
    audit,
    audit_export,
    change_sets,
    changes,
    comparisons,
    compatibility,
    event_stream,
    health,
    history,
    listing_export,
    policy,
    recent_changes,
    reversals,
    search,
    secrets,
    users,
    versions,
)

ROUTERS = (
    assistants.ROUTER,
    listing_export.ROUTER,
    compatibility.ROUTER,
    activity.ROUTER,
    changes.ROUTER,
    history.ROUTER,
    versions.ROUTER,
    comparisons.ROUTER,
    reversals.ROUTER,
    change_sets.ROUTER,
    recent_changes.ROUTER,
    search.ROUTER,
    policy.ROUTER,
    audit.ROUTER,
    audit_export.ROUTER,
    event_stream.ROUTER,
    secrets.ROUTER,
    api_keys.ROUTER,
    users.ROUTER,
    health.ROUTER,
)
