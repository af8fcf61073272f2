"""Graph rewrites, one per file. Each is an identity that its file states in one line of algebra."""
