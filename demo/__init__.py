"""`make demo` and `make local`: the gate on the local cloud, for a person to watch and to try."""
