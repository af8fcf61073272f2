"""Judge what a file computes against what its source computes. Nothing is built here."""
