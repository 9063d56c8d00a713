"""What went wrong, in words that say what to do: the last stop of an exception of a command.

Configuration and settings exit with 2, everything else with 1, unless the exception's class has
an `exit_code` of its own (pipeline.stops). An exception nobody foresaw is a mistake of ours: it
is shown in one line, and with its traceback at log level `debug`.
"""

import os
import traceback
from typing import Final

import typer

from configs.problems import ConfigError

USAGE: Final = 2
FAILURE: Final = 1

_KAFKA: Final = "Is Kafka up? Its address is kafka.brokers (FOREWARN_KAFKA__BROKERS)."
_HINTS: Final = {
    "aiokafka": _KAFKA,
    "cimpl": _KAFKA,
    "confluent_kafka": _KAFKA,
    "redis": "Is Redis up? Its address is redis.url (FOREWARN_REDIS__URL).",
}
"""What to look at, by the first part of the module an exception's class comes from."""

_OURS: Final = frozenset({"benchmarks", "configs", "detectors", "pipeline", "simulator", "sinks"})


class Failure(Exception):
    """A command failed for a reason the user can act on; the message says what to do."""


def report(error: Exception) -> int:
    """Print what went wrong to standard error and return the exit code."""
    if isinstance(error, ConfigError):
        for problem in error.problems:
            typer.echo(f"error: {problem}", err=True)
        return USAGE
    typer.echo(f"error: {describe(error)}", err=True)
    if _debugging():
        typer.echo("".join(traceback.format_exception(error)), err=True)
    code = getattr(error, "exit_code", None)
    return code if isinstance(code, int) else FAILURE


def describe(error: Exception) -> str:
    """Return one or two lines about an exception, with a hint where there is one."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    package = type(error).__module__.split(".", 1)[0]
    if package in _HINTS:
        return f"{_message(error)}\n{_HINTS[package]}"
    if package in _OURS:
        return str(error)
    said = f"{type(error).__name__}: {error}"
    return said if _debugging() else f"{said}\nFOREWARN_LOG__LEVEL=debug shows where."


def _message(error: Exception) -> str:
    """Return the text of an exception; Kafka's carry an error object instead of one."""
    first = error.args[0] if error.args else error
    return str(first.str()) if hasattr(first, "str") else str(first)


def _debugging() -> bool:
    return os.environ.get("FOREWARN_LOG__LEVEL", "").lower() == "debug"
