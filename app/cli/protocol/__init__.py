"""HTTP/1.1 as uvicorn speaks it, with trailers, unread bodies and upgrade offers done right."""
