"""From a PyTorch checkpoint to files that run without PyTorch, each with its proof."""
