"""Payloads as providers publish them, and what each must become.

A folder of `tests/conformance` is an adapter. Beside each payload stands `NAME.expected.ndjson`, a
line for each item in order, and where needed `NAME.options.json` (fields of `Options`) and, for
tables, `NAME.yaml`. Payloads have the shape of the published examples; none is a customer's.

    python -m tests.pipeline.adapters.conformance     shows what differs, --write takes it
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from configs.mapping import CsvFormat, load_mapping
from detectors.events import Milestone
from pipeline.adapters.base import Adapter
from pipeline.adapters.items import Ignored, Item, Options, Read, Rejected, Retraction
from pipeline.adapters.registry import adapter_of, table_of
from pipeline.ingest.files import documents
from pipeline.ingest.intake import encode
from pipeline.ingest.sources import Opened

FOLDER: Final = Path(__file__).parents[2] / "conformance"
_SIDES: Final = (".expected.ndjson", ".options.json", ".yaml")


def payloads() -> list[Path]:
    """Every payload."""
    return sorted(
        path for path in FOLDER.glob("*/*") if path.is_file() and not path.name.endswith(_SIDES)
    )


def options(path: Path) -> Options:
    """What an operator says about the payload's source."""
    file = path.parent / f"{path.stem}.options.json"
    given: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    if "pseudonym_key" in given:
        given["pseudonym_key"] = given["pseudonym_key"].encode()
    if "values" in given:
        given["values"] = {code: Milestone(name) for code, name in given["values"].items()}
    return Options(**given)


def source_of(path: Path) -> Opened:
    """The source a payload is of."""
    mapping = path.with_suffix(".yaml")
    if mapping.exists():
        loaded = load_mapping(mapping)
        return Opened(loaded.source, table_of(loaded, options(path)), loaded.csv)
    layout = CsvFormat() if path.parent.name == "emsevt" else None
    return Opened(path.parent.name, adapter_of(path.parent.name, options(path)), layout)


def items(path: Path) -> Iterator[Item]:
    """What the adapter makes of a payload."""
    source = source_of(path)
    for located in documents(path, source.layout):
        if isinstance(located.document, Rejected):
            yield located.document
        else:
            yield from source.adapter.read(located.document)


def shown(item: Item) -> dict[str, Any]:
    """One line of an expectation."""
    if isinstance(item, Read):
        event: dict[str, Any] = json.loads(encode(item.event))
        return event if item.unknown is None else {**event, "(unknown)": item.unknown}
    if isinstance(item, Rejected):
        return {"(rejected)": str(item.reason), "because": item.detail}
    if isinstance(item, Retraction):
        return {"(retracted)": item.event_id}
    assert isinstance(item, Ignored)
    return {"(ignored)": str(item.why)}


def expectation(path: Path) -> Path:
    """The file with what a payload must become."""
    return path.parent / f"{path.stem}.expected.ndjson"


def expected(path: Path) -> list[dict[str, Any]]:
    """What a payload must become."""
    return [json.loads(line) for line in expectation(path).read_text("utf-8").splitlines()]


def adapter(name: str, **given: Any) -> Adapter:
    """An adapter with options."""
    return adapter_of(name, Options(**given))


def main() -> int:
    """Show what differs from the expectations; `--write` makes them anew, to be reviewed."""
    differing = 0
    for path in payloads():
        lines = [json.dumps(shown(item), ensure_ascii=False) for item in items(path)]
        text = "".join(f"{line}\n" for line in lines)
        file = expectation(path)
        if not file.exists() or file.read_text("utf-8") != text:
            differing += 1
            sys.stdout.write(f"{path.relative_to(FOLDER)}\n{text}")
            if "--write" in sys.argv:
                file.write_text(text, "utf-8")
    return int(differing > 0)


if __name__ == "__main__":
    sys.exit(main())
