"""docs/connect.md as a new user would follow it: each example goes from the page to a decision."""

import csv
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.adapters.registry import ADAPTERS
from pipeline.cli import application
from pipeline.reading import read_to_end
from pipeline.settings import Kafka
from tests.real_parts import Broker

HERE: Final = Path(sys.executable).parent
PAGE: Final = (Path(__file__).parent.parent / "docs" / "connect.md").read_text("utf-8")
_BLOCK: Final = re.compile(r"<!-- (file|example) (\S+)(?: (\S+))? -->\n```\w+\n(.*?)```", re.DOTALL)


_COMMANDS: Final = re.compile(r"^```\n(.*?)^```\n", re.DOTALL | re.MULTILINE)
_FENCED: Final = re.compile(r"^```\w*\n.*?^```\n", re.DOTALL | re.MULTILINE)
STANDS_IN: Final = {
    "kafka-console-consumer.sh": "cat shipments.ndjson",
    "psql": "echo tracking_no,carrier,status,changed_at; echo SW1,swift,shipped,1772445240000",
}
"""What the page's commands call and a test has not: scripts that say what the real ones would."""
ELSEWHERE: Final = ("--serve", "kafka.example.com")
"""Blocks that other tests run: a process that stays, a cluster of one's own."""


def files() -> dict[str, str]:
    """Settings and mappings of the page."""
    return {name: body for kind, name, _, body in _BLOCK.findall(PAGE) if kind == "file"}


def examples() -> list[tuple[str, str, str]]:
    """Source, file name and payload of each example."""
    return [(name, file, body) for kind, name, file, body in _BLOCK.findall(PAGE) if kind != "file"]


def command_blocks() -> list[str]:
    """The fenced blocks without a language: what a reader types."""
    found = (_COMMANDS.fullmatch(block) for block in _FENCED.findall(PAGE))
    return [match[1] for match in found if match is not None]


def test_every_block_of_commands_runs_as_it_stands(
    broker: Broker, name: str, tmp_path: Path
) -> None:
    """In the page's order, in one shell's folder, with its files: nothing fails or is rejected."""
    for each in STANDS_IN:
        script = tmp_path / "bin" / each
        script.parent.mkdir(exist_ok=True)
        script.write_text(f"#!/bin/sh\n{STANDS_IN[each]}\n", "utf-8")
        script.chmod(0o755)
    broker.create_topic(f"{name}.tracking", partitions=2)
    saved = [(file, body) for file, body in files().items() if file != "portal.yaml"]
    for file, body in saved + [(file, body) for _, file, body in examples()]:
        (tmp_path / file).write_text(body, "utf-8")
    environment = {
        "PATH": f"{tmp_path / 'bin'}:{HERE}:{os.defpath}",
        "HOME": str(tmp_path),
        "FOREWARN_SETTINGS": "settings.yaml",
        "FOREWARN_KAFKA__BROKERS": broker.bootstrap,
        "FOREWARN_KAFKA__PREFIX": name,
    }
    blocks = [each for each in command_blocks() if not any(word in each for word in ELSEWHERE)]
    for block in blocks:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        assert not re.search(r"[1-9]\d* rejected", done.stdout + done.stderr), block
        if "--learn" in block:  # its doubts are answered as the page answers them
            assert yaml.safe_load((tmp_path / "portal.yaml").read_text("utf-8"))["tracking"]
            (tmp_path / "portal.yaml").write_text(files()["portal.yaml"], "utf-8")
    assert len(blocks) >= 12
    assert (
        sum(
            1 for _ in read_to_end(Kafka(brokers=broker.bootstrap, prefix=name), f"{name}.tracking")
        )
        == 4
    )


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
    assert f"forewarn ingest --from {source} {file} " in PAGE or source == "shipments.yaml"


def test_polling_query_with_overlapping_windows(tmp_path: Path) -> None:
    """The query's rows as CSV through a pipe; what two polls both bring has one id."""
    (tmp_path / "shipments.yaml").write_text(files()["shipments.yaml"], "utf-8")
    shop = sqlite3.connect(":memory:")
    shop.execute("create table shipments (tracking_no, carrier, status, changed_at integer)")
    shop.executemany(
        "insert into shipments values (?, 'swift', 'shipped', ?)",
        [(f"SW{n:08}", 1_772_445_240_000 + n * 60_000) for n in range(30)],
    )
    ids = []
    for since in (0, 10):
        found = shop.execute(
            "select * from shipments where changed_at > ?", (1_772_445_240_000 + since * 60_000,)
        )
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow([column[0] for column in found.description])
        writer.writerows(found)
        command = [sys.executable, "-m", "pipeline.cli", "ingest", "--from", "shipments.yaml", "-"]
        done = subprocess.run(
            command, input=text.getvalue().encode(), cwd=tmp_path, capture_output=True, check=True
        )
        ids += [json.loads(line)["event_id"] for line in done.stdout.splitlines()]
    shop.close()
    assert (len(ids), len(set(ids))) == (29 + 19, 29)


def run(*words: str) -> str:
    done = CliRunner().invoke(application(words[0]), list(words))
    assert done.exit_code == 0, f"{done.output}{done.exception}"
    return done.output


def test_every_provider_has_its_example() -> None:
    """All adapters but our own two formats, which have theirs further down."""
    wanted = {*ADAPTERS} - {"tracking", "complaints"}
    assert wanted <= {source for source, _, _ in examples()}
