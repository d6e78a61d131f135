"""What the model, the benchmark and the local cloud share: time, and rate limits."""
