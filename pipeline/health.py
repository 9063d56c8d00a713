"""Is the worker alive, is it ready: judged from progress, served beside the metrics.

Alive means that offsets advance: a partition with records to read and no progress for
`STUCK_SECONDS` makes `/health/live` answer 503, and whoever supervises the worker should start it
again. Ready means that every assigned partition has its state.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

STUCK_SECONDS: Final = 120.0


@dataclass(slots=True)
class Progress:
    """How far each partition of each input has come, and since when it has stood still.

    Times are of a monotonic clock that the caller passes in.
    """

    stuck_seconds: float = STUCK_SECONDS
    assigned: set[int] | None = None
    """None before the first assignment."""
    recovered: set[int] = field(default_factory=set)
    held: set[tuple[str, int]] = field(default_factory=set)
    """Inputs and partitions that wait for others, as they must: to start again would not help."""
    _waiting: dict[tuple[str, int], float] = field(default_factory=dict)

    def assign(self, partitions: set[int]) -> None:
        """Start over with these partitions, none of them recovered."""
        self.assigned = set(partitions)
        self.recovered.clear()
        self._waiting.clear()
        self.held.clear()

    def recover(self, partition: int) -> None:
        """Note that a partition has its state."""
        self.recovered.add(partition)

    def moved(self, source: str, partition: int, lag_records: int, at: float) -> None:
        """Note that records were absorbed and how many are left."""
        self._waiting.pop((source, partition), None)
        self.lagging(source, partition, lag_records, at)

    def lagging(self, source: str, partition: int, lag_records: int, at: float) -> None:
        """Note how many records are left, whether or not any were absorbed."""
        if lag_records:
            self._waiting.setdefault((source, partition), at)
        else:
            self._waiting.pop((source, partition), None)

    def hold(self, source: str, partition: int) -> None:
        """Note that a partition waits for others."""
        self.held.add((source, partition))

    def free(self, source: str, partition: int, at: float) -> None:
        """Note that a partition need not wait any more."""
        self.held.discard((source, partition))
        if (source, partition) in self._waiting:
            self._waiting[source, partition] = at

    def stuck(self, at: float) -> list[str]:
        """Return the inputs that have records to read and have not moved for too long."""
        return [
            f"{source}/{partition} has not moved for {at - since:.0f} s"
            for (source, partition), since in sorted(self._waiting.items())
            if (source, partition) not in self.held and at - since > self.stuck_seconds
        ]

    def unready(self) -> list[str]:
        """Return what is missing before this worker does its share."""
        if self.assigned is None:
            return ["no partitions assigned yet"]
        missing = sorted(self.assigned - self.recovered)
        return [f"partition {partition} is being recovered" for partition in missing]


class HealthServer:
    """`/metrics`, `/health/live` and `/health/ready` on one port.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes any free one, `port` then says which.
    registry
        What `/metrics` shows.
    stuck, unready
        Return what is wrong, nothing when all is well.
    """

    def __init__(
        self,
        host: str,
        port: int,
        registry: CollectorRegistry,
        *,
        stuck: Callable[[], list[str]],
        unready: Callable[[], list[str]],
    ) -> None:
        self.port = port
        self._host = host
        self._registry = registry
        self._stuck, self._unready = stuck, unready
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen; raises `OSError` when the port is taken."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/health/live", self._live),
                web.get("/health/ready", self._ready),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _metrics(self, _request: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _live(self, _request: web.Request) -> web.Response:
        return _answer(self._stuck())

    async def _ready(self, _request: web.Request) -> web.Response:
        return _answer(self._unready())


def _answer(problems: list[str]) -> web.Response:
    if problems:
        return web.json_response({"status": "failing", "problems": problems}, status=503)
    return web.json_response({"status": "ok"})


def now() -> float:
    """Return this process's monotonic time, the one `Progress` is told."""
    return monotonic()
