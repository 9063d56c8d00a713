"""Children are ready when `start` returns and gone when their parent is, however it went."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.processes import Child, StartError, answers, free_port

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP


def child(
    log: Path, script: str = SLEEP, *, start_seconds: float = 60, stop_seconds: float = 10
) -> Child:
    """A Python process that is ready when it has said so."""
    return Child(
        "it",
        [sys.executable, "-c", script],
        log=log,
        ready=lambda: "up" in log.read_text(),
        start_seconds=start_seconds,
        stop_seconds=stop_seconds,
    )


def gone(pid: int, seconds: float = 10) -> bool:
    """Whether a process ends in time (a zombie that only waits for its parent counts)."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="asks /proc")


def test_runs_between_enter_and_exit(tmp_path: Path) -> None:
    """Inside it runs under its own id; after, it ended by SIGTERM."""
    it = child(tmp_path / "log")
    with it:
        os.kill(it.pid, 0)
        assert it.returncode is None
        pid = it.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_stop_says_how_it_ended_and_can_be_repeated(tmp_path: Path) -> None:
    """The exit code is the signal; stopping what has stopped does nothing."""
    it = child(tmp_path / "log").start()
    assert it.stop() == -signal.SIGTERM
    assert it.stop() is None


def test_who_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """Patience ends with SIGKILL."""
    it = child(tmp_path / "log", STUBBORN, stop_seconds=0.2).start()
    assert it.stop() == -signal.SIGKILL


def test_a_stopped_process_can_be_ended(tmp_path: Path) -> None:
    """SIGSTOP does not make a process immortal."""
    it = child(tmp_path / "log").start()
    it.send(signal.SIGSTOP)
    assert it.stop() == -signal.SIGTERM


def test_early_death_is_told_with_its_last_words(tmp_path: Path) -> None:
    """A command that ends before it is ready raises at once, and its log says why."""
    with pytest.raises(StartError, match="no such luck"):
        child(tmp_path / "log", "raise SystemExit('no such luck')").start()


def test_not_ready_in_time_leaves_nothing_running(tmp_path: Path) -> None:
    """A start that fails stops what it started."""
    it = child(tmp_path / "log", "import time; time.sleep(60)", start_seconds=0.1)
    with pytest.raises(StartError, match="not ready"):
        it.start()
    assert not it.running


@needs_proc
def test_a_killed_parent_takes_its_children_along(tmp_path: Path) -> None:
    """When the parent is killed, the child is told to terminate."""
    script = (
        "import sys, time; from pathlib import Path; from pipeline.processes import Child; "
        "it = Child('it', [sys.executable, '-c', 'import time; time.sleep(60)'], "
        f"log=Path({str(tmp_path / 'log')!r})).start(); print(it.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        os.kill(pid, 0)
        parent.kill()
        assert gone(pid)


def test_free_port_is_free() -> None:
    """Nobody answers on it."""
    assert not answers(free_port())
