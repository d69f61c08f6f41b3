"""Modules that models are made of: activations, random layers, stochastic matrices."""
