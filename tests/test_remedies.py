"""docs/remedies.md as a newcomer would follow it: files, commands, and what they print."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from configs.load import SHIPPED
from pipeline.cli import application

PAGE: Final = (Path(__file__).parent.parent / "docs" / "remedies.md").read_text("utf-8")
_STEP: Final = re.compile(
    r"(?:<!-- (?P<what>file|insert|replace) (?P<path>\S+) ?(?P<more>.*?) ?-->\n)?"
    r"```(?P<kind>yaml|text|console)\n(?P<body>.*?)```",
    re.DOTALL,
)


def test_the_walk_through_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file is written, every command run; each printed line of the page is printed."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(SHIPPED, tmp_path / "configs", ignore=shutil.ignore_patterns("*.py*"))
    ran = 0
    for step in _STEP.finditer(PAGE):
        _prepare(step)
        if step["kind"] == "console":
            for command, printed in _commands(step["body"]):
                _run(command, printed)
                ran += 1
    assert ran == 8


def _prepare(step: re.Match[str]) -> None:
    """Write, insert or replace what the page says."""
    if step["what"] is None:
        return
    path = Path(step["path"])
    if step["what"] == "file":
        path.write_text(step["body"], "utf-8")
        return
    text = path.read_text("utf-8")
    if step["what"] == "insert":
        anchor, new = f"\n{step['more']}\n", f"\n{step['more']}\n{step['body']}"
    else:
        anchor, new = (f"{part}}}" for part in step["more"].removesuffix("}").split("} "))
    assert anchor in text
    path.write_text(text.replace(anchor, new, 1), "utf-8")


def _commands(body: str) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def _run(command: str, printed: list[str]) -> None:
    program, *words = shlex.split(command)
    if program == "mkdir":
        for folder in words[1:]:
            Path(folder).mkdir(parents=True)
        return
    if program == "cp":
        shutil.copy(*words)
        return
    result = CliRunner().invoke(application(words[0]), words)
    lines = result.output.splitlines()
    for wanted in printed:
        pattern = ".*".join(map(re.escape, wanted.split("…")))
        found = [line for line in lines if re.fullmatch(pattern, line)]
        assert found, (command, wanted, result.output)
    fails = any(line.startswith(("error", "FAILED")) for line in printed)
    assert (result.exit_code != 0) is fails
