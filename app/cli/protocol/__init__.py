"""HTTP/1.1 as uvicorn speaks it, with what it lacks; each module adds one thing to the one before.

``upgrades``, ``trailers`` (with ``joined`` and ``endless``), ``unread``, ``pipelining``,
``refusals``, ``limits``, ``bodies``, ``deadlines``, ``connections``, ``draining``.
"""
