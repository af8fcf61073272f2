"""What each checkpoint computes: generators in plain torch, one file per architecture."""
