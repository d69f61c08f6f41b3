"""The work of commands, once their options are read; imported by them only then."""
