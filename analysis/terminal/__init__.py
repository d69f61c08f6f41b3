"""Options and text of all commands."""
