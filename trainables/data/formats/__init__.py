"""One loader for each format of files."""
