"""The network of a run's trial, ready to be written to files, and those files beside it."""
