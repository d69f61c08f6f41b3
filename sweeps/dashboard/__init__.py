"""The live page of runs: what a browser shows of them while they go on and after."""
