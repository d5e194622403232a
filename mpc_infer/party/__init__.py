"""A computing party: checks for itself, computes on its shares, signs what it ran."""
