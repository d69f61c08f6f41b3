"""Trials of a run, evaluated: their choice, files, tables and comparison."""
