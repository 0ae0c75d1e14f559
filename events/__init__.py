"""What may happen to an assistant's settings, and what did: the truth."""
