"""What the documents say can be done: commands exist, examples are valid, links lead somewhere."""

import json
import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from detectors.events import Complaint, TrackingEvent
from pipeline import cli, stops
from pipeline.records import RawRecord, read_complaints, read_tracking

ROOT = Path(__file__).parent.parent
DOCUMENTS = (
    "README.md",
    "docs/connect.md",
    "docs/operations.md",
    "docs/configuration.md",
    "docs/real-data.md",
    "docs/performance.md",
    "docs/guarantees.md",
    "docs/remedies.md",
    "docs/scaling.md",
    "docs/surges.md",
)
ARRIVAL_MS = 1_773_000_000_000
"""2026-03-08: after every example."""

_COMMAND = re.compile(r"forewarn [a-z][^`\n|]*")
_EXAMPLE = re.compile(r"<!-- (tracking|complaints)(?: (\S+))? -->\n```json\n(.*?)```", re.DOTALL)
_LINK = re.compile(r"\]\(([^)#:]+)\)")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def commands() -> list[tuple[str, str]]:
    """Every command line in a code block or between backquotes, with the file it is in."""
    found = []
    for name in DOCUMENTS:
        page = text(name)
        blocks = re.findall(r"```\n(.*?)```", page, re.DOTALL)
        quoted = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page, flags=re.DOTALL))
        for place in [line for block in blocks for line in block.splitlines()] + quoted:
            match = _COMMAND.match(place.strip())
            if match:
                found.append((name, match.group().split("#")[0].rstrip(" &")))
    return sorted(set(found))


@pytest.mark.parametrize(("_document", "line"), commands())
def test_commands_exist_with_their_options(_document: str, line: str) -> None:
    """Each command of the documents is one, and knows the options it is given."""
    words = shlex.split(line)[1:]
    entry = next((entry for entry in cli.ENTRIES if entry.name == words[0]), None)
    assert entry is not None, f"no command {words[0]}"
    target = cli.load(entry)
    path = words[:1]
    if isinstance(target, typer.Typer) and len(words) > 1:
        path = words[:2]
        assert words[1] in {command.name for command in target.registered_commands}
    help_text = CliRunner().invoke(cli.application(entry.name), [*path, "--help"]).output
    for option in (word.split("=")[0] for word in words if word.startswith("--")):
        assert option in help_text


def examples() -> list[tuple[str, str, str]]:
    return [found for name in DOCUMENTS for found in _EXAMPLE.findall(text(name))]


@pytest.mark.parametrize(("topic", "envelope", "example"), examples())
def test_json_examples_are_valid_events(topic: str, envelope: str, example: str) -> None:
    """Whoever copies an example writes a record that is taken."""
    headers = [("content-type", envelope.encode())] if envelope else []
    value = json.dumps(json.loads(example)).encode()
    record = RawRecord(None, value, 0, ARRIVAL_MS, headers)
    chunk = (read_tracking if topic == "tracking" else read_complaints)([record])
    assert [letter.detail for letter in chunk.dead] == []
    (event,) = chunk.events
    assert isinstance(event, TrackingEvent if topic == "tracking" else Complaint)


def test_there_are_examples_of_both_topics() -> None:
    """The test above looks at something."""
    assert {topic for topic, _, _ in examples()} == {"tracking", "complaints"}
    assert len(commands()) > 15


def test_python_examples_of_connect_run() -> None:
    """The mapping of milestones and the producer are as the page says."""
    blocks = re.findall(r"```python\n(.*?)```", text("docs/connect.md"), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "docs/connect.md", "exec"), {})  # noqa: S102 - our own page


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    """A relative link of a document is a file of the project."""
    folder = (ROOT / name).parent
    assert [link for link in _LINK.findall(text(name)) if not (folder / link).exists()] == []


def test_every_alert_has_a_line_in_the_operations_guide() -> None:
    """Whoever is woken by an alert finds it there."""
    alerts = re.findall(r"alert: (\w+)", text("deploy/prometheus/alerts.yml"))
    page = text("docs/operations.md")
    assert alerts
    assert [alert for alert in alerts if f"| {alert} |" not in page] == []


def test_every_exit_code_has_a_line_in_the_operations_guide() -> None:
    """The codes of a stopping worker are explained."""
    codes = {kind.exit_code for kind in vars(stops).values() if hasattr(kind, "exit_code")}
    page = text("docs/operations.md")
    assert [code for code in sorted(codes) if f"\n| {code} |" not in page] == []
