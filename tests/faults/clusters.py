"""Brokers of a row's own: three that replicate, and one on a disk that can be filled."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.embedded import serves_kafka
from pipeline.processes import Child, free_port
from tests.faults.parts import Shared
from tests.real_parts import kafka_node, kafka_settings

_DISK_MB: Final = 96


@dataclass
class Nodes:
    """The brokers of a row."""

    children: dict[int, Child]
    """By node id."""
    disk: Path | None = None


@asynccontextmanager
async def three_brokers(shared: Shared) -> AsyncIterator[tuple[str, str]]:
    """Three nodes, everything three times, two must have it."""
    ports = {node: (free_port(), free_port()) for node in (1, 2, 3)}
    voters = ",".join(f"{node}@127.0.0.1:{ports[node][1]}" for node in ports)
    replicated = {
        "controller.quorum.voters": voters,
        "offsets.topic.replication.factor": "3",
        "transaction.state.log.replication.factor": "3",
        "transaction.state.log.min.isr": "2",
        "replica.lag.time.max.ms": "5000",
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
    }
    children = {}
    for node, (port, controller) in ports.items():
        folder = shared.folder / f"node-{node}"
        folder.mkdir()
        settings = kafka_settings(folder / "data", port, controller) | replicated
        children[node] = _node(folder, settings | {"node.id": str(node)}, port)
    shared.nodes = Nodes(children)
    bootstrap = ",".join(f"127.0.0.1:{port}" for port, _ in ports.values())
    try:
        await asyncio.gather(*(asyncio.to_thread(child.start) for child in children.values()))
        yield bootstrap, bootstrap
    finally:
        for child in children.values():
            await asyncio.to_thread(child.kill)


@asynccontextmanager
async def small_disk(shared: Shared) -> AsyncIterator[tuple[str, str]]:
    """One node whose data is on a file system of its own, in a mount namespace of its own."""
    folder = shared.folder / "disk"
    data = folder / "data"
    data.mkdir(parents=True)
    holder = subprocess.Popen(  # noqa: ASYNC220  it stays for the whole row
        ["unshare", "-m", "sh", "-c", f"mount -t tmpfs -o size={_DISK_MB}m none {data} && cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    disk = Path(f"/proc/{holder.pid}/root{data}")
    try:
        while not await asyncio.to_thread(os.path.ismount, disk):
            assert holder.poll() is None, "needs the right to mount"
            await asyncio.sleep(0.05)
        port, controller = free_port(), free_port()
        settings = kafka_settings(data, port, controller) | {
            "log.segment.bytes": "2097152",
            "log.index.size.max.bytes": "65536",
            "offsets.topic.segment.bytes": "1048576",
            "transaction.state.log.segment.bytes": "1048576",
            "metadata.log.segment.bytes": "8388608",
        }
        inside = ("nsenter", "-t", str(holder.pid), "-m")
        node = _node(folder, settings, port, inside)
        shared.nodes = Nodes({1: node}, disk=disk)
        await asyncio.to_thread(node.start)
        try:
            yield f"127.0.0.1:{port}", f"127.0.0.1:{port}"
        finally:
            await asyncio.to_thread(node.kill)
    finally:
        assert holder.stdin is not None
        holder.stdin.close()
        holder.wait(10)


def _node(folder: Path, settings: dict[str, str], port: int, wrap: tuple[str, ...] = ()) -> Child:
    properties = folder / "server.properties"
    properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    return kafka_node(folder, properties, lambda: serves_kafka(port), wrap)
