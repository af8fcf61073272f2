"""Serve the bundle beside this file over HTTP: python serve.py --help."""

import sys
from pathlib import Path

if __name__ == "__main__":
    try:
        from consumers.server.app import main
    except ModuleNotFoundError as error:
        print(f"serve.py: {error.name} is not installed. Run: pip install -r requirements.txt.", file=sys.stderr)
        raise SystemExit(4) from None
    raise SystemExit(main(Path(__file__).resolve().parent / "bundle"))
