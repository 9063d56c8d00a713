"""Messages go to standard error, without secrets and customers' texts."""

import json
import logging as standard
from collections.abc import Iterator

import pytest
import structlog

from pipeline import logging
from pipeline.settings import Log, LogFormat, LogLevel


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = standard.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_json_lines_name_process_and_keys(capsys: pytest.CaptureFixture[str]) -> None:
    """A program can read each line; the standard library's messages look the same."""
    logging.configure(Log(format=LogFormat.JSON), process="worker")
    structlog.get_logger("x").info("partition recovered", partition=3)
    standard.getLogger("other").warning("from %s", "elsewhere")
    shown = capsys.readouterr()
    first, second = map(json.loads, shown.err.splitlines())
    assert (first["event"], first["process"], first["partition"]) == (
        "partition recovered",
        "worker",
        3,
    )
    assert (second["event"], second["level"]) == ("from elsewhere", "warning")
    assert shown.out == ""


def test_secrets_and_texts_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    """A key that looks like a secret or holds what a customer wrote is not shown."""
    logging.configure(Log(format=LogFormat.CONSOLE), process="deliver")
    structlog.get_logger("x").info("sent", webhook_secret="geheim", text="call me", amount=5)
    shown = capsys.readouterr().err
    assert "geheim" not in shown
    assert "call me" not in shown
    assert "amount=5" in shown


def test_less_serious_messages_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """The level of the settings is the least that is shown."""
    logging.configure(Log(level=LogLevel.WARNING, format=LogFormat.JSON), process="worker")
    structlog.get_logger("x").info("small")
    structlog.get_logger("x").error("large")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["large"]
