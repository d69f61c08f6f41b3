"""The function that Tune calls on a worker, and the folder that it writes to."""
