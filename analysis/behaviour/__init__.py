"""What trained models do with data."""
