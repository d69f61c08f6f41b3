"""Statistics of few numbers: estimates, tests, ranks and rank correlation."""
