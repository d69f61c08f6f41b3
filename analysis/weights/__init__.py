"""The complexity of a run's weights."""
