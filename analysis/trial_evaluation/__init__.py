"""Trials of a run, evaluated: which ones, their files, tables, and how they compare."""
