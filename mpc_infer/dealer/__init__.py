"""The dealer of correlated randomness: stateless, and told shapes only."""
