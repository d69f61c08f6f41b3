"""What stops or changes trials."""
