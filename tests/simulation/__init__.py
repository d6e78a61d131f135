"""What model, benchmark and local cloud share: time, License Manager, rate limits, and what the definition says."""
