"""Graph rewrites, one per file, each an identity stated in one line of algebra."""
