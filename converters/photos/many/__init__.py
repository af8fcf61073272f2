"""Many photos: list them, and run them in processes of this machine or on Ray, so that none is lost."""
