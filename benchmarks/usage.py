"""What a command costs from its start to its end."""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process that has ended, with the processes it waited for."""

    wall_seconds: float
    cpu_seconds: float
    """User and system."""
    peak_bytes: int
    output: str


def used(command: Sequence[str]) -> Usage:
    """Run a command to its end; raises `subprocess.CalledProcessError` when it fails."""
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    wall = time.monotonic() - began
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, output)
