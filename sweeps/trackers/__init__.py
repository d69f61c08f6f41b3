"""Receivers of a run's results besides its own files."""
