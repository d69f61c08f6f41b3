"""Carries requests to a run while it goes on: left as files by one process, taken up by the driver."""
