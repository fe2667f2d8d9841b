"""Passes that hold for every device: a Dag in, a Dag out."""
