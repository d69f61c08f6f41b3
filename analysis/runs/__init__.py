"""A run's files: their names, finding runs, runs at a URI."""
