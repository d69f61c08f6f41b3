"""The model over HTTP: what is taken in, how it is answered, and who may ask."""
