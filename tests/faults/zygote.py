"""Starts deliver processes by forking from one that has everything imported: a tenth of a second.

The process forked from has no threads and no clients; what runs in the child is the command
`forewarn deliver`. With FOREWARN_TEST_TIMES its clock is another one (`tests/faults/times.py`).
"""

import asyncio
import faulthandler
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

_LOOK_SECONDS: Final = 0.03


@dataclass
class Process:
    """One forked process."""

    pid: int
    log: Path
    ended: "asyncio.Future[int]" = field(repr=False)

    def send(self, signum: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if not self.ended.done():
            os.kill(self.pid, signum)

    async def wait(self, seconds: float) -> int:
        """Wait for its end and return the exit code (negative: the signal)."""
        return await asyncio.wait_for(asyncio.shield(self.ended), seconds)

    async def stop(self) -> None:
        """SIGTERM, patience, SIGKILL."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        try:
            await self.wait(30)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        self.send(signal.SIGKILL)
        await self.wait(15)

    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2500:] if self.log.exists() else ""


class Zygote:
    """The parent's side."""

    def __init__(self) -> None:
        self._server: asyncio.subprocess.Process | None = None
        self._waiting: asyncio.Queue[int] = asyncio.Queue()
        self._running: dict[int, asyncio.Future[int]] = {}
        self._one = asyncio.Lock()
        self._reader: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.zygote"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        self._reader = asyncio.create_task(self._read())

    async def fork(self, environment: Mapping[str, str], log: Path) -> Process:
        """Start `forewarn deliver` with exactly this environment."""
        assert self._server is not None
        assert self._server.stdin is not None
        order = {"environment": dict(environment), "log": str(log)}
        async with self._one:
            self._server.stdin.write(json.dumps(order).encode() + b"\n")
            await self._server.stdin.drain()
            pid = await self._waiting.get()
        return Process(pid, log, self._running[pid])

    async def stop(self) -> None:
        """End it; its children end with it."""
        if self._server is None or self._server.stdin is None:
            return
        self._server.stdin.close()
        await self._server.wait()
        assert self._reader is not None
        await self._reader

    async def _read(self) -> None:
        assert self._server is not None
        assert self._server.stdout is not None
        loop = asyncio.get_running_loop()
        async for line in self._server.stdout:
            pid, code = json.loads(line)
            if code is None:
                self._running[pid] = loop.create_future()
                self._waiting.put_nowait(pid)
            elif not self._running[pid].done():
                self._running[pid].set_result(code)


# ---------------------------------------------------------------------- the server's side


def _child(order: dict[str, Any]) -> None:
    """Become `forewarn deliver`."""
    os.setsid()
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number in (1, 2):
        os.dup2(log, number)
    faulthandler.register(signal.SIGUSR1, all_threads=True)  # a process that hangs can be asked
    os.environ.clear()
    os.environ.update(order["environment"])
    from tests.faults import times

    times.deliver()


def _reap(children: set[int]) -> None:
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        children.discard(pid)
        _say(pid, os.waitstatus_to_exitcode(status))


def _say(pid: int, code: int | None) -> None:
    sys.stdout.write(json.dumps([pid, code]) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Fork when asked; end, and end all children, when nobody can ask any more."""
    import pipeline.cli
    import pipeline.deliver
    import pipeline.run  # noqa: F401

    children: set[int] = set()
    while True:
        readable, _, _ = select.select([0], [], [], _LOOK_SECONDS)
        if readable:
            line = _line()
            if not line:
                break
            pid = os.fork()
            if not pid:
                _run_child(line)
            children.add(pid)
            _say(pid, None)
        _reap(children)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _line() -> bytes:
    """Read one order, byte by byte: a buffer would hide the next one from `select`."""
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 1)
        if not part:
            return b""
        line += part
    return line


def _run_child(line: bytes) -> None:
    code = 1
    try:
        _child(json.loads(line))
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except BaseException:  # noqa: BLE001  a child must never become the server
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
