"""HTTP/1.1 as uvicorn speaks it, with single writes, trailers, unread bodies and upgrade offers."""
