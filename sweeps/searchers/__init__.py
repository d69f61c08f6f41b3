"""Searchers propose settings of the nuisance fields."""
