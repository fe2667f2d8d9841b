"""Passes that devices share: neighbours joined into one node, memory given out."""
