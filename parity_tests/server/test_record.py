"""The recorded load has no fault, and docs/server.md says what it says."""

from __future__ import annotations

import json

from parity_tests.support.places import ROOT

RECORD = json.loads((ROOT / "benchmarks" / "results" / "server_load.json").read_text())
PAGE = (ROOT / "docs" / "server.md").read_text(encoding="utf-8")


def test_recorded_load_is_that_of_the_page_and_has_no_fault() -> None:
    load, over, end = (RECORD[part] for part in ("load", "overload", "end"))
    assert [fault for part in (load, over, end) for fault in part["faults"]] == []
    assert (load["clients"], over["clients"]) == (16, 16)
    assert set(over["answers"]) == {"200", "503"}
    assert load["pictures_compared"] == load["answers"]["good: 200"]
    memory = load["memory_mib"]
    for row in (
        f"| requests, a tenth of them bad | {load['requests']:,} |",
        f"| pictures, each compared with the command's bytes | {load['pictures_compared']:,}, all equal |",
        f"| requests per second | {load['requests_per_second']:.0f} |",
        f"| p50 and p99 of a picture | {load['latency_ms']['p50']:,.0f} and {load['latency_ms']['p99']:,.0f} ms |",
        "| memory of all processes, after a tenth and at the end "
        f"| {memory['after_a_tenth']:.0f} and {memory['at_the_end']:.0f} MiB |",
        f"pictures, 503 | {over['answers']['200']}, {over['answers']['503']} |",
        f"in hand, answered | {end['in_hand']:g}, {end['answered']} |",
        *(f"| {row['size']} | {row['together_of_alone']:.0%} |".replace("%", " %") for row in RECORD["together"]),
    ):
        assert row in PAGE, row


def test_memory_is_flat_and_nothing_but_the_bad_is_refused() -> None:
    load = RECORD["load"]
    assert load["memory_mib"]["at_the_end"] < 1.05 * load["memory_mib"]["after_a_tenth"]
    assert [kind for kind in load["answers"] if kind.startswith("good") and kind != "good: 200"] == []
    assert [kind for kind in load["answers"] if ": 5" in kind] == []
