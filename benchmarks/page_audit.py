"""What Lighthouse says of the page for browsers: accessibility and best practices; desktop and phone, light and dark.

    python benchmarks/page_audit.py

Needs node, npm and what `make build/web/tests.stamp` fetches. npx fetches Lighthouse itself: 186 MB, into npm's cache.
Writes benchmarks/results/page_audit.json; exits with 1 if a score is below 95.
"""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))

from parity_tests.support.browser import find_chromium
from parity_tests.support.places import ROOT
from parity_tests.support.web_page import serve

# The last version that runs on node 18 and 20.
LIGHTHOUSE = "lighthouse@12.8.2"
CATEGORIES = ("accessibility", "best-practices")
LEAST_SCORE = 95
# Seconds; the first run fetches Lighthouse, too.
PATIENCE = 400
FORMS = {"desktop": ["--preset=desktop"], "phone": []}
# Numbers of Chromium's setting.
COLOR_SCHEMES = {"dark": 0, "light": 1}
OUT = ROOT / "benchmarks" / "results" / "page_audit.json"


def audit(url: str, form: str, scheme: str) -> dict[str, Any]:
    """Lighthouse's report of one visit."""
    found = find_chromium()
    if found is None:
        raise SystemExit("page_audit.py: no Chromium is here. Run `make build/web/tests.stamp`.")
    chromium, environment = found
    flags = "--headless=new --no-sandbox --disable-dev-shm-usage --disable-gpu"
    flags += f" --blink-settings=preferredColorScheme={COLOR_SCHEMES[scheme]}"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "report.json"
        command = ["npx", "--yes", LIGHTHOUSE, url, "--quiet", "--output=json", f"--output-path={out}", *FORMS[form]]
        command += [f"--only-categories={','.join(CATEGORIES)}", f"--chrome-flags={flags}"]
        subprocess.run(command, env={**environment, "CHROME_PATH": chromium}, check=True, timeout=PATIENCE)
        report: dict[str, Any] = json.loads(out.read_text())
    if "runtimeError" in report:
        raise SystemExit(f"page_audit.py: {report['runtimeError']}")
    require_scheme(report, scheme)
    return report


def require_scheme(report: dict[str, Any], scheme: str) -> None:
    """Fail if the page was not shown light or dark, as asked for."""
    _, text = report["fullPageScreenshot"]["screenshot"]["data"].split(",", 1)
    corner = Image.open(io.BytesIO(base64.b64decode(text))).convert("L").getpixel((2, 2))
    assert isinstance(corner, (int, float))
    assert (corner < 128) == (scheme == "dark"), f"{scheme}: the corner's brightness is {corner} of 255"


def summarize(report: dict[str, Any]) -> dict[str, Any]:
    """Scores of 100, and every audit that was not passed in full."""
    used = {ref["id"] for name in CATEGORIES for ref in report["categories"][name]["auditRefs"]}
    audits = [audit for name, audit in report["audits"].items() if name in used]
    scored = [audit for audit in audits if audit["score"] is not None]
    failed = [audit for audit in scored if audit["score"] < 1]
    return {
        "scores": {name: round(100 * report["categories"][name]["score"]) for name in CATEGORIES},
        "audits": len(scored),
        "failed": {
            audit["id"]: {
                "title": audit["title"],
                "items": [
                    item.get("node", {}).get("snippet") or item.get("description")
                    for item in audit.get("details", {}).get("items", [])
                ],
            }
            for audit in failed
        },
    }


def main() -> None:
    """Write the scores."""
    reports = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "page"
        subprocess.run([sys.executable, "-m", "cli", "consumers", "web", str(folder)], cwd=ROOT, check=True)
        with serve(folder) as url:
            for form in FORMS:
                for scheme in COLOR_SCHEMES:
                    reports[f"{form} {scheme}"] = audit(url, form, scheme)
    first = next(iter(reports.values()))
    results = {name: summarize(report) for name, report in reports.items()}
    facts = {
        "lighthouse": first["lighthouseVersion"],
        "axe-core": first["environment"]["credits"]["axe-core"],
        "browser": first["environment"]["hostUserAgent"].rsplit(") ", 1)[-1],
        **results,
    }
    OUT.write_text(json.dumps(facts, indent=2) + "\n")
    print(json.dumps(facts, indent=2))
    if min(score for result in results.values() for score in result["scores"].values()) < LEAST_SCORE:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
