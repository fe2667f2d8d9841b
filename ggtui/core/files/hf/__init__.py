"""What the parts of a Hugging Face folder say: its weights, its config, its vocabulary."""
