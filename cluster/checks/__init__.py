"""Checks of `cluster.doctor`, one subject a file."""
