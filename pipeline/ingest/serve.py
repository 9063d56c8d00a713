"""`forewarn ingest --serve`: a process that takes webhooks until it is told to stop.

SIGTERM and SIGINT: new webhooks are answered 503, those under way end, Kafka confirms what it has,
then the process ends.
"""

import asyncio
import gc
import signal
from collections.abc import Iterator
from urllib.error import URLError
from urllib.request import urlopen

import msgspec
import structlog
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from pipeline import logging as messages
from pipeline.failures import Failure
from pipeline.ingest import metrics
from pipeline.ingest.delivery import Delivery
from pipeline.ingest.endpoint import Answer, Endpoint, Gate, as_response
from pipeline.ingest.intake import Intake, Seen
from pipeline.ingest.rates import Bucket
from pipeline.ingest.settings import Ingest, Scheme, Source
from pipeline.ingest.signatures import DEFAULT_SCHEMES
from pipeline.ingest.sources import opened
from pipeline.settings import Settings
from pipeline.stops import BrokerUnavailable

_log = structlog.get_logger()
_COLLECT_EVERY = 50_000
"""Requests make hardly any cycles: looking for them after every 700 objects is in vain."""
_SERVED_IDS = 200_000
"""Ids each source remembers; a repetition further apart is written again under the same id."""


def serve(settings: Settings) -> None:
    """Take webhooks until SIGTERM or SIGINT. Raises `Failure` for sources that cannot be served."""
    messages.configure(settings.log, process="ingest")
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    ingest = settings.ingest
    delivery = Delivery(settings.kafka.brokers, ingest.pending_events, ingest.acknowledge_seconds)
    metrics.PENDING.set_function(lambda: delivery.pending)
    endpoint = Endpoint(
        gates(settings), delivery, ingest.replay_window_seconds, ingest.body_seconds
    )
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    # Bodies as they were sent: a signature is made over those bytes.
    server = web.ServerRunner(web.Server(endpoint, auto_decompress=False, access_log=None))
    admin = web.AppRunner(_admin(endpoint), access_log=None)
    try:
        port = await _listen(server, ingest.host, ingest.port)
        admin_port = await _listen(admin, ingest.admin_host, ingest.admin_port)
        gc.freeze()
        gc.set_threshold(_COLLECT_EVERY)
        _log.info("takes webhooks", host=ingest.host, port=port, admin_port=admin_port)
        await _first_of(stop, delivery.broken)
        endpoint.stopping = True
        await _drain(endpoint, ingest.stop_seconds)
        left = await delivery.close(ingest.stop_seconds)
        _log.info("stopped", not_acknowledged=left)
        if delivery.broken.is_set():
            raise BrokerUnavailable(f"Kafka: {delivery.problem}; start again")
    finally:
        await server.cleanup()
        await admin.cleanup()


async def _first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.create_task(event.wait()) for event in events]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()


async def _listen(runner: web.ServerRunner | web.AppRunner, host: str, port: int) -> int:
    await runner.setup()
    await web.TCPSite(runner, host, port, backlog=1024).start()
    found: int = runner.addresses[0][1]
    return found


async def _drain(endpoint: Endpoint, seconds: float) -> None:
    """Wait until the webhooks under way are answered."""
    if not endpoint.active:
        return
    try:
        async with asyncio.timeout(seconds):
            await endpoint.idle.wait()
    except TimeoutError:
        _log.warning("webhooks under way were cut off", webhooks=endpoint.active)


def gates(settings: Settings) -> dict[str, Gate]:
    """Return the sources that take webhooks. Raises `Failure` for one without a secret."""
    if not settings.ingest.sources:
        raise Failure("no sources: name them in the settings, ingest.sources.NAME.secrets")
    return {name: gate(name, source, settings) for name, source in settings.ingest.sources.items()}


def gate(name: str, source: Source, settings: Settings) -> Gate:
    """Return one source, ready to take webhooks. Raises `Failure`."""
    secrets = tuple(secret.get_secret_value() for secret in source.secrets)
    if not secrets or not all(secrets):
        raise Failure(f"source {name} has no secret: set ingest.sources.{name}.secrets")
    adapter = opened(name, source, settings.ingest).adapter
    scheme = source.signature or DEFAULT_SCHEMES.get(adapter.name, Scheme.STANDARD)
    return Gate(
        name=name,
        source=source,
        scheme=scheme,
        secrets=secrets,
        topic=settings.kafka.topic(adapter.kind),
        intake=Intake(adapter, Seen(_SERVED_IDS)),
        bucket=Bucket(source.requests_per_second, source.burst),
    )


def _admin(endpoint: Endpoint) -> web.Application:
    async def shown(_request: web.Request) -> web.Response:
        for source, values in endpoint.unknown_counts():
            for value, count in values.items():
                metrics.UNKNOWN_VALUES.labels(source, value).set(count)
        body = generate_latest(metrics.REGISTRY)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(_request: web.Request) -> web.Response:
        return as_response(endpoint.health())

    async def unknown(_request: web.Request) -> web.Response:
        return as_response(Answer(200, dict(endpoint.unknowns())))

    app = web.Application()
    app.add_routes(
        [
            web.get("/metrics", shown),
            web.get("/healthz", health),
            web.get("/unknown", unknown),
        ]
    )
    return app


def served_unknowns(ingest: Ingest) -> Iterator[str]:
    """Yield what the running endpoint of the settings lists, a line a value. Raises `Failure`."""
    url = f"http://{ingest.admin_host}:{ingest.admin_port}/unknown"
    try:
        with urlopen(url, timeout=5) as response:
            listed = _decode_unknowns(response.read())
    except (URLError, OSError) as error:
        raise Failure(f"no endpoint answers at {url}; for files: --from NAME FILE") from error
    for source, values in listed.items():
        for value, found in values.items():
            yield f"{found.count:>9,}  {source}: {value}  ({', '.join(found.seen)})"
    if not any(listed.values()):
        yield "every value is known"


class _Unknown(msgspec.Struct):
    count: int
    seen: list[str]


_decode_unknowns = msgspec.json.Decoder(dict[str, dict[str, _Unknown]]).decode
