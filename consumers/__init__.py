"""Programs that use a bundle without Python: their sources and templates as data, and what writes them out."""
