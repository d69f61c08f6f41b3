"""Feeds trackers from a run's ledger, in processes of their own, and sends messages about it."""
