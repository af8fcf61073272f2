"""Programs that use a bundle without Python: their sources and templates, shipped as data."""
