"""The policy, and the program, change while money is on its way: keys stay the same."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from pipeline.processes import free_port
from tests.faults.parts import POLICY, Run
from tests.faults.steps import STEPS
from tests.faults.table import row
from tests.faults.verify import Truth
from tests.pipeline.delivering import stall

GROUP: Final = "changes in mid-flight"
FORMER: Final = "57acdb3"
"""The last commit before retries were published and receivers looked at."""
ROOT: Final = Path(__file__).parents[3]


def _same_keys(_run: Run, truth: Truth) -> Iterable[str]:
    """Each parcel has one key, whatever policy or program asked."""
    keys = {key: request["parcel_id"] for key, request in truth.requests.items()}
    return [] if len(set(keys.values())) == len(keys) else ["a parcel has two keys"]


@row("policy-changed", GROUP + ": a policy", checks=_same_keys, FOREWARN_DELIVER__BATCH="4")
async def policy_changed(run: Run) -> None:
    """Killed at some step, and back with another amount, another name and another message."""
    process = await run.start()
    step = run.dice.choice(STEPS)
    await run.strike(step, lambda: process.send(signal.SIGKILL), run.dice.randint(1, 2))
    await run.decide(*(stall(number) for number in range(24)))
    await process.wait(40)
    await asyncio.to_thread(_change, run)
    run.fault_over()
    await run.supervise()
    await run.decide(*(stall(number) for number in range(36)), wanted=12)


def _change(run: Run) -> None:
    file = run.folder / "config" / "policies.yaml"
    data = yaml.safe_load(file.read_text("utf-8"))
    remedy = POLICY["remedy"] | {"coupon": {"amount_minor": 800, "validity_days": 7}}  # type: ignore[operator]
    data["policies"] = [POLICY | {"name": "other", "remedy": remedy}]
    file.write_text(yaml.safe_dump(data), encoding="utf-8")


def former_is_at_hand() -> bool:
    """Tell whether the history reaches back to the former version; a shallow clone's does not."""
    asked = ["git", "cat-file", "-e", f"{FORMER}^{{commit}}"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, check=False).returncode == 0


@cache
def _former_program() -> Path | None:
    """The program as it was, unpacked; None where the history is not at hand."""
    there = Path(os.environ.get("TMPDIR", "/tmp")) / f"forewarn-{FORMER}-{os.getpid()}"
    made = subprocess.run(
        ["git", "archive", "--format=tar", FORMER], cwd=ROOT, capture_output=True, check=False
    )
    if made.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(made.stdout)) as archive:
        archive.extractall(there, filter="data")
    return there


@row("program-changed", GROUP + ": an upgrade and a downgrade", checks=_same_keys)
async def program_changed(run: Run) -> None:
    """The former version gives, this one goes on, the former one comes back: or refuses to."""
    former = await asyncio.to_thread(_former_program)
    assert former is not None, f"needs the commit {FORMER} in the history"
    before = await _start_former(run, former)
    await run.decide(*(stall(number) for number in range(12)))
    await run.coupons(run.dice.randint(1, 12))
    before.send_signal(run.dice.choice([signal.SIGKILL, signal.SIGTERM]))
    await before.wait()
    upgraded = await run.start()
    await run.decide(*(stall(number) for number in range(24)), wanted=12)
    await run.coupons(run.dice.randint(12, 24))
    upgraded.send(run.dice.choice([signal.SIGKILL, signal.SIGTERM]))
    await upgraded.wait(20)
    again = await _start_former(run, former)
    await run.decide(*(stall(number) for number in range(30)), wanted=6)
    await asyncio.sleep(run.dice.uniform(1, 3))
    if again.returncode is None:
        again.kill()
    await again.wait()
    run.fault_over()
    await run.supervise()


async def _start_former(run: Run, tree: Path) -> asyncio.subprocess.Process:
    """Start the former version, which knows less of the settings."""
    new = {"FOREWARN_OUTBOUND__ALLOW", "FOREWARN_REDIS__TIMEOUT_SECONDS", "FOREWARN_CONFIG"}
    known = {key: value for key, value in run.environment.items() if key not in new}
    config = await asyncio.to_thread(_former_config, run, tree)
    known |= {
        "FOREWARN_CONFIG": str(config),
        "FOREWARN_DELIVER__RETRY_SECONDS": "0.1",
        "FOREWARN_METRICS__DELIVER_PORT": str(free_port()),
        "PYTHONPATH": str(tree),
    }
    log = (run.folder / "former.log").open("ab")
    with log:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pipeline.cli", "deliver"),
            cwd=tree,
            env=known,
            stdout=log,
            stderr=log,
        )


def _former_config(run: Run, tree: Path) -> Path:
    """The same policy in the words of the former version."""
    config = run.folder / "former-config"
    if not config.exists():
        config.mkdir()
        shipped = tree / "configs"
        (config / "detectors.yaml").write_bytes((shipped / "detectors.yaml").read_bytes())
        data = yaml.safe_load((shipped / "policies.yaml").read_text("utf-8"))
        data["policies"] = [POLICY]
        (config / "policies.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    return config
