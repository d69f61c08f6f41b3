"""Scientific values side by side."""
