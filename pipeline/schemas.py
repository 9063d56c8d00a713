"""JSON Schemas (2020-12) of what crosses the border, generated from the structs.

    python -m pipeline.schemas            writes pipeline/schemas/*.json
    python -m pipeline.schemas --check    exit code 1 if they are not what the structs say

They describe form. What a schema cannot say (one time against another, the byte limits of a
record) is in `pipeline.limits` and `pipeline.records`.
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from detectors.decisions import Decision
from detectors.events import MAX_TEXT_LENGTH, MAX_VALUE_MINOR, Complaint, TrackingEvent

FOLDER: Final = Path(__file__).parent / "schemas"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_TYPES: Final[dict[str, tuple[Any, str]]] = {
    "tracking_event": (TrackingEvent, "One scan of one parcel, record key carrier/parcel_id."),
    "complaint": (Complaint, "One complaint of one customer, record key customer_id."),
    "decision": (Decision, "What Forewarn concluded, record key subject; `kind` tells which."),
}
_NOT_EMPTY: Final = r"\S"
_FREE_TEXT: Final = frozenset({"text"})


def schemas() -> dict[str, dict[str, Any]]:
    """Return the schema of each file name, without `.json`."""
    return {name: _schema(kind, text) for name, (kind, text) in _TYPES.items()}


def rendered() -> dict[Path, str]:
    """Return what each file should hold."""
    return {
        FOLDER / f"{name}.json": json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
        for name, schema in schemas().items()
    }


def stale() -> list[Path]:
    """Return the files that are missing, different, or of a type that is no more."""
    wanted = rendered()
    present = {path: path.read_text("utf-8") for path in FOLDER.glob("*.json")}
    return sorted(path for path in wanted | present if wanted.get(path) != present.get(path))


def _schema(kind: Any, text: str) -> dict[str, Any]:
    (found,), definitions = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    for definition in definitions.values():
        _tighten(definition)
    return {"$schema": DIALECT, "description": text, **found, "$defs": definitions}


def _tighten(definition: dict[str, Any]) -> None:
    """Add what the structs check themselves, of which msgspec knows nothing."""
    if definition.get("title") not in {TrackingEvent.__name__, Complaint.__name__}:
        return
    for name, field in definition["properties"].items():
        for choice in field.get("anyOf", [field]):
            if choice.get("type") == "string" and "format" not in choice:
                choice["maxLength"] = MAX_TEXT_LENGTH
                if name == "schema_version":
                    choice["pattern"] = r"^1(\.|$)"
                elif name not in _FREE_TEXT:
                    choice["pattern"] = _NOT_EMPTY if name != "carrier" else r"^[^/]*[^/\s][^/]*$"
            elif choice.get("type") == "integer":
                limits = (1, 1) if name == "schema_version" else (0, MAX_VALUE_MINOR)
                choice["minimum"], choice["maximum"] = limits


def main(arguments: list[str]) -> int:
    """Write or check the files; return the exit code."""
    if arguments == ["--check"]:
        wrong = stale()
        for path in wrong:
            sys.stderr.write(f"{path} is not what the structs say: python -m pipeline.schemas\n")
        return 1 if wrong else 0
    if arguments:
        sys.stderr.write("usage: python -m pipeline.schemas [--check]\n")
        return 2
    FOLDER.mkdir(exist_ok=True)
    wanted = rendered()
    for path in stale():
        if path in wanted:
            path.write_text(wanted[path], "utf-8")
            sys.stdout.write(f"wrote {path}\n")
        else:
            path.unlink()
            sys.stdout.write(f"removed {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
