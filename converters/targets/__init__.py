"""What a graph is converted to: one folder per target, and the protocol that they share."""
