"""A training function of a user's own as a trainable: its config, what it is given, its state, its replicates."""
