"""Models at work: sessions, sampling, and what is recorded of them."""
