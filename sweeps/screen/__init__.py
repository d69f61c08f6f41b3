"""The live view, the list of runs, and the load of the machine."""
