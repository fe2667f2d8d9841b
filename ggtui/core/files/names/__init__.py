"""The names of tensors in the files of each architecture, and ours for them."""
