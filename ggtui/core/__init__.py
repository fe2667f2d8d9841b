"""The runtime: tensors, graphs, plans, models, sessions."""
