"""A process that is started again whenever it ends: what systemd or Kubernetes does.

`kill` and `freeze` do to it what machines do to processes. A frozen one does not know that it was:
it wakes up as a zombie and goes on where it was.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pipeline.processes import Child

_PAUSE_SECONDS: Final = 0.5


class Supervised:
    """A command under supervision, as a context manager.

    Parameters
    ----------
    name
        What it is called.
    argv, environment
        The command and what it is told.
    log
        File its output is appended to.
    """

    def __init__(
        self, name: str, argv: Sequence[str], *, environment: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.exits: list[int] = []
        """Exit codes so far; negative for signals."""
        self._argv, self._environment, self._log = argv, environment, log
        self._stopping = threading.Event()
        self._child: Child | None = None
        self._thread = threading.Thread(target=self._supervise, name=f"supervise {name}")

    def kill(self) -> bool:
        """SIGKILL: it has no chance to say anything; False when nothing ran just then."""
        return self._send(signal.SIGKILL)

    def freeze(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after some seconds."""
        child = self._child
        self._send(signal.SIGSTOP)
        time.sleep(seconds)
        if child is self._child:
            self._send(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM and no new start; return the last exit code."""
        self._stopping.set()
        self._send(signal.SIGTERM)
        self._thread.join(timeout=60)
        return self.exits[-1] if self.exits else 0

    def _send(self, number: signal.Signals) -> bool:
        child = self._child
        if child is not None and child.running:
            with contextlib.suppress(ProcessLookupError):  # it ended this very moment
                child.send(number)
                return True
        return False

    def _supervise(self) -> None:
        while not self._stopping.is_set():
            with Child(
                self.name,
                self._argv,
                log=self._log,
                environment=self._environment,
                stop_seconds=5,
            ) as self._child:
                self.exits.append(self._child.wait(3600))
            self._stopping.wait(_PAUSE_SECONDS)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._send(signal.SIGCONT)
        self._send(signal.SIGKILL)
        self._thread.join(timeout=60)
