"""The model registry and the cards that go into it."""
