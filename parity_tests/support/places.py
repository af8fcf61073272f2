"""Where things lie in the tree."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "reference" / "photos"
