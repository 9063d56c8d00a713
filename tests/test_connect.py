"""docs/connect.md as a new user would follow it: each example goes from the page to a decision."""

import re
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from pipeline.adapters.registry import ADAPTERS
from pipeline.cli import application

PAGE: Final = (Path(__file__).parent.parent / "docs" / "connect.md").read_text("utf-8")
_BLOCK: Final = re.compile(r"<!-- (file|example) (\S+)(?: (\S+))? -->\n```\w+\n(.*?)```", re.DOTALL)


def files() -> dict[str, str]:
    """Settings and mappings of the page."""
    return {name: body for kind, name, _, body in _BLOCK.findall(PAGE) if kind == "file"}


def examples() -> list[tuple[str, str, str]]:
    """Source, file name and payload of each example."""
    return [(name, file, body) for kind, name, file, body in _BLOCK.findall(PAGE) if kind != "file"]


@pytest.mark.parametrize(("source", "file", "body"), examples(), ids=lambda text: text[:20])
def test_example_ends_in_a_decision(
    source: str, file: str, body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saved, read and replayed as the page says; nothing is rejected, something is decided."""
    for name, text in files().items():
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / file).write_text(body, "utf-8")
    monkeypatch.setenv("FOREWARN_SETTINGS", str(tmp_path / "settings.yaml"))
    monkeypatch.chdir(tmp_path)
    read = run("ingest", "--from", source, file, "--out", "events.ndjson")
    assert " 0 rejected" in read
    assert "unknown values" not in read
    stream = "--complaints" if "complaint_id" in Path("events.ndjson").read_text("utf-8") else ""
    run("replay", stream or "--tracking", "events.ndjson", "--decisions", "decisions.ndjson")
    assert Path("decisions.ndjson").read_text("utf-8").strip()


def run(*words: str) -> str:
    done = CliRunner().invoke(application(words[0]), list(words))
    assert done.exit_code == 0, f"{done.output}{done.exception}"
    return done.output


def test_every_provider_has_its_example() -> None:
    """All adapters but our own two formats, which have theirs further down."""
    wanted = {*ADAPTERS} - {"tracking", "complaints"}
    assert wanted <= {source for source, _, _ in examples()}
