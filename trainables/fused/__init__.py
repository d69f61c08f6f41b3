"""The replicates of a trial trained as one network."""
