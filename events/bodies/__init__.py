"""Bodies: what a client sends, read, checked and compared with what is stored."""
