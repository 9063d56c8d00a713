"""Errors of commands as messages for a person, and the exit codes: 0, 1 (failure), 2 (usage).

Foreseen errors (configuration, a stopping worker, an unreachable part) are one message that says
what to do; anything else is a mistake of ours and keeps its traceback. A class with an `exit_code`
decides it itself (pipeline.stops).
"""

import traceback
from typing import Final

import typer

from configs.problems import ConfigError

FAILURE: Final = 1
USAGE: Final = 2
FORESEEN: Final = (OSError,)


def report(error: BaseException) -> int:
    """Print an error to standard error and return the exit code it deserves."""
    code = getattr(error, "exit_code", None)
    if isinstance(error, ConfigError):
        typer.echo(str(error), err=True)
        return USAGE
    if isinstance(code, int):
        typer.echo(f"forewarn: {error}", err=True)
        return code
    if isinstance(error, FORESEEN):
        typer.echo(f"forewarn: {error}", err=True)
        return FAILURE
    traceback.print_exception(error)
    return FAILURE
