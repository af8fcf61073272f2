"""What manifest.json must hold for a bundle to be opened, as a JSON Schema; other keys are welcome."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def _object(fields: dict[str, Any], optional: Iterable[str] = ()) -> dict[str, Any]:
    left_out = set(optional)
    return {
        "type": "object",
        "properties": fields,
        "required": sorted(fields.keys() - left_out),
    }


def _list(items: dict[str, Any], least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least}


def _every(values: dict[str, Any]) -> dict[str, Any]:
    """An object of any keys."""
    return {"type": "object", "additionalProperties": values}


TEXT = {"type": "string"}
NAME = {"type": "string", "minLength": 1}
TRUTH = {"type": "boolean"}
COUNT = {"type": "integer", "minimum": 1}
SPEC = _object(
    {
        "name": NAME,
        "shape": _list({"anyOf": [{"type": "integer", "minimum": 0}, NAME]}),
        "dtype": {
            "enum": ["bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64))]
            + [f"float{bits}" for bits in (16, 32, 64)]
        },
        "layout": TEXT,
        "value_range": {"anyOf": [{"type": "null"}, {**_list({"type": "number"}, 2), "maxItems": 2}]},
        "meaning": TEXT,
        "multiple_of": COUNT,
        "minimum": COUNT,
    }
)
SCHEMA = _object(
    {
        "name": NAME,
        "architecture": NAME,
        "raw": TRUTH,
        "judging": _every(
            _object(
                {
                    "known": {"type": ["string", "null"]},
                    "gate": {"type": ["string", "null"]},
                    "relative": TRUTH,
                },
                optional=("known", "gate", "relative"),
            )
        ),
        "sources": _list(_object({"file": NAME, "sha256": TEXT}), 1),
        "contract": _object(
            {
                "inputs": _list(SPEC, 1),
                "outputs": _list(SPEC, 1),
                "static_size": {"anyOf": [{"type": "null"}, {**_list(COUNT, 2), "maxItems": 2}]},
            }
        ),
        "artifacts": _list(_object({"target": NAME, "files": _list(NAME, 1), "gate": NAME, "verified": TRUTH}), 1),
        "not_verified": _every(TEXT),
        "files": _every(_object({"sha256": TEXT, "size": {"type": "integer", "minimum": 0}})),
    }
)


def find_fault(manifest: object) -> str | None:
    """What is wrong in a manifest and where, None if nothing is."""
    import jsonschema

    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(SCHEMA).iter_errors(manifest))
    if error is None:
        return None
    place = error.json_path.lstrip("$.")
    return f"{place}: {error.message}" if place else str(error.message)
