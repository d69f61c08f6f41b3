"""A model by itself: its metadata, its module, and the statistics of the images that it learned from."""
