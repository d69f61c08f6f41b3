"""Predictions of image files: which model, which images, and the log of what was answered."""
