"""The coordinator: the one door for clients. It sees no share of an input or of a model."""
