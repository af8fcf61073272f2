"""A written server of the pair that ships, and one that runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from parity_tests.support.served import Server, require_litserve, serve, write_server


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its folder; read only."""
    require_litserve()
    return write_server(tmp_path_factory.mktemp("written") / "server")


@pytest.fixture(scope="session")
def server(written: Path) -> Iterator[Server]:
    """Two workers; small limits, so that tests reach them."""
    limits = ("--max-megapixels", "1", "--max-mib", "1", "--upload-timeout", "2")
    with serve(written, "--workers", "2", *limits) as server:
        yield server
