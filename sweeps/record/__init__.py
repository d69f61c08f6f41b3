"""What a run leaves: ledger, state, rows."""
