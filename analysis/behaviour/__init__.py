"""Activations and loss of trained models on data."""
