"""``backstory doctor``: what it finds, a module for each part of an installation."""
