"""Every sentence of docs/guarantees.md leads to a test, and every attack to a sentence."""

import ast
import re
from functools import cache
from pathlib import Path

from tests.faults import rows
from tests.faults.table import ROWS

DOCS = Path(__file__).parent.parent / "docs"
LINK = re.compile(r"\[([^\]]+)\]\(([^)#]+)#([^)]+)\)")


def sentences() -> list[str]:
    text = (DOCS / "guarantees.md").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.startswith("- ")]


@cache
def functions(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def test_every_sentence_has_its_test() -> None:
    """Each leads to a test function or a row of the table that is there, in the file it says."""
    assert rows.ALL
    assert len(sentences()) > 25
    for sentence in sentences():
        links = LINK.findall(sentence)
        assert links, sentence
        for shown, path, name in links:
            file = (DOCS / path).resolve()
            assert file.is_file(), sentence
            if shown == "test":
                assert name in functions(file), (name, sentence)
                continue
            attack = ROWS[name].attack
            assert shown == name
            assert attack.__module__.replace(".", "/") == str(
                file.relative_to(DOCS.parent.resolve()).with_suffix("")
            ), sentence


def test_every_attack_is_promised_something() -> None:
    """No row of the table is without its sentence."""
    linked = {name for sentence in sentences() for _, _, name in LINK.findall(sentence)}
    assert set(ROWS) <= linked
