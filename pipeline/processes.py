"""Child processes that never outlive their parent.

A `Child` runs in a process group of its own, so Ctrl-C reaches the parent only and the parent
stops its children in the order it wants. Should the parent die without a word (SIGKILL), the
pipe to its children closes and each is told to terminate by a reader in its own group.
Everything is stopped by its id, never by its name.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

_TETHER: Final = """
exec 3<&0 </dev/null
{ read -r _ <&3; kill $$; } >/dev/null 2>&1 &
exec 3<&-
exec "$@"
"""
"""The shell becomes the command (same id), beside a reader that waits for the parent's end."""

_POLL_SECONDS: Final = 0.05


class StartError(RuntimeError):
    """A child ended or did not get ready in time; the message holds the end of its log."""


class Child:
    """A command that runs from `start` to `stop`, as a context manager or by hand.

    Parameters
    ----------
    name
        What it is called in messages.
    argv
        The command; no shell reads it.
    log
        File that its output is appended to.
    ready
        Asked again and again after the start until it returns True. It must give up by itself
        within about a second.
    start_seconds
        How long to wait for `ready`.
    stop_seconds
        How long to wait after SIGTERM before SIGKILL.

    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        *,
        log: Path,
        ready: Callable[[], bool] | None = None,
        environment: Mapping[str, str] | None = None,
        start_seconds: float = 60.0,
        stop_seconds: float = 10.0,
    ) -> None:
        self.name = name
        self.argv = [str(part) for part in argv]
        self.log = log
        self.start_seconds = start_seconds
        self.stop_seconds = stop_seconds
        self._ready = ready
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Id of the running command, and of its process group."""
        if self._process is None:
            raise StartError(f"{self.name} was not started")
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code (negative: the signal that ended it), None while it runs or before."""
        return None if self._process is None else self._process.poll()

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Start and wait until ready; raises `StartError`, leaving nothing behind."""
        if self._process is not None:
            raise StartError(f"{self.name} runs already")
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _TETHER, "sh", *self.argv],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if self._environment is None else {**os.environ, **self._environment},
                start_new_session=True,
            )
        try:
            self._wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        while self._ready is not None:
            if not self.running:
                raise StartError(f"{self.name} ended with {self.returncode}: {self.log_tail()}")
            if self._ready():
                return
            if time.monotonic() > deadline:
                raise StartError(
                    f"{self.name} was not ready in {self.start_seconds:g} s: {self.log_tail()}"
                )
            time.sleep(_POLL_SECONDS)

    def log_tail(self, characters: int = 2000) -> str:
        """The end of the log."""
        return self.log.read_text(errors="replace")[-characters:]

    def send(self, signum: signal.Signals) -> None:
        """Send a signal to the command alone (SIGSTOP and SIGKILL in fault tests)."""
        os.kill(self.pid, signum)

    def wait(self, timeout_seconds: float) -> int:
        """Wait for the command's own end; raises `subprocess.TimeoutExpired`."""
        if self._process is None:
            raise StartError(f"{self.name} was not started")
        return self._process.wait(timeout_seconds)

    def stop(self) -> int | None:
        """SIGTERM, patience, SIGKILL to the whole group; safe to repeat; returns the exit code."""
        process = self._process
        if process is None:
            return None
        # The reader of the tether is in the group and keeps its id from being reused.
        _signal_group(process.pid, signal.SIGTERM)
        _signal_group(process.pid, signal.SIGCONT)
        try:
            process.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            _signal_group(process.pid, signal.SIGKILL)
            process.wait()
        finally:
            if process.stdin is not None:
                process.stdin.close()
            self._process = None
        return process.returncode

    def kill(self) -> None:
        """SIGKILL to the whole group, without patience: the crash of fault tests."""
        if self._process is not None:
            _signal_group(self._process.pid, signal.SIGKILL)
            self.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _signal_group(group: int, signum: signal.Signals) -> None:
    try:
        os.killpg(group, signum)
    except ProcessLookupError:
        return  # all of it has ended


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether somebody accepts connections on that port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
