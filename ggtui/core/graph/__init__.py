"""Tensors, ops, graphs and passes over them: what is described, and nothing of what runs it."""
