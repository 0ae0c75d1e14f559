"""Write transactions: the queue, the unit of work, caches and idempotency."""
