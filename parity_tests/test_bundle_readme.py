"""A bundle's README says what its numbers are of and in, for every kind of record."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters.checkpoint import read_checkpoint
from converters.manifest import Record, format_readme
from converters.parity_report import format_parity
from parity_tests.architecture_cases import CASES
from reference import identify

UNIT = ", errors in units of an output's largest value:"
WITH_HOLE = ("deepfill-v2", "edgeconnect-inpaint", "partial-conv")
RELATIVE = (("partial-conv", False), ("partial-conv", True), ("style-transfer", True))


def make_record(name: str, raw: bool, folder: Path) -> Record:
    """Of a small net, as if it had been converted to nothing."""
    (case,) = (case for case in CASES if case.name == name)
    checkpoint = read_checkpoint(case.write(folder))
    model = identify(checkpoint).build(checkpoint, raw)
    return Record(name, [checkpoint], name, "", model, raw, None, (), (), {})


@pytest.mark.parametrize("raw", [False, True], ids=["whole", "raw"])
@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_readme_speaks_of_holes_and_of_units_where_there_are_such(name: str, raw: bool, tmp_path: Path) -> None:
    readme = format_readme(make_record(name, raw, tmp_path))
    assert ("| hole PSNR, dB |" in readme) == (name in WITH_HOLE and not raw)
    assert ("| PSNR, dB |" in readme) == (name not in WITH_HOLE or raw)
    assert (f"Held to the untouched torch module{UNIT}" in readme) == ((name, raw) in RELATIVE)
    assert ("units" in readme) == ((name, raw) in RELATIVE)
    assert f"`{name}`{', the bare generator' if raw else ''}, ported from `" in readme


def test_every_report_says_which_errors_are_in_units_of_a_largest_value() -> None:
    text = " ".join(format_parity((), (), {}).split())
    assert "(partial-conv's, and style-transfer's of `--raw`;" in text
    assert "in units of its largest value" in text
