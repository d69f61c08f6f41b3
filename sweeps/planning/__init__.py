"""From a sweep and its options to a plan of trials."""
