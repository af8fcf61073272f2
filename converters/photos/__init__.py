"""Photos and masks from image files, and results back."""
