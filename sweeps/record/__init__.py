"""The record of a run: ledger, state, rows of the tables."""
