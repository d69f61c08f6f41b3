"""File formats of exported models, one a file."""
