"""Parts of a user's own, each made into an entry of the table whose names it stands among; one kind a file."""
