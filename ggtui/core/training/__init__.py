"""Training: what it reads and starts from, its loop, what it keeps."""
