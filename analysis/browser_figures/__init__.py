"""Figures for a browser, one function each: the same as on paper."""
