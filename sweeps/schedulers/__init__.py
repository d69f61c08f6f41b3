"""Rules that stop trials or change them."""
