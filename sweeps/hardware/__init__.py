"""Samples of a machine while a run goes on: load, memory, GPUs, power."""
