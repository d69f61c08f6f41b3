"""A run that is followed by its ledger: what changed, its tables and its figures."""
