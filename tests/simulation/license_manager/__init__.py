"""License Manager's conversion tasks in memory: what the local cloud puts on the wire, and model and benchmark call directly."""
