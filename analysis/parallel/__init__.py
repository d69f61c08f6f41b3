"""Work spread over processes or over a Ray cluster."""
