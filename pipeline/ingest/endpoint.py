"""One webhook: believed, read, written, and only then answered 2xx.

| status | reason (in the JSON body as `error`)                              | does a retry help |
|--------|-------------------------------------------------------------------|-------------------|
| 200    | every event is acknowledged by Kafka                              |                   |
| 400    | `not_json`                                                        | no                |
| 401    | `signature_missing`, `signature_wrong`, `signature_stale`         | no                |
| 408    | `slow_body`                                                       | later             |
| 404    | `no_such_source`; 405 for another method than POST                | no                |
| 413    | `too_large`                                                       | no                |
| 415    | `not_json_content`: no JSON, or compressed                        | no                |
| 422    | `unreadable`: JSON, but nothing in it can be used                 | no                |
| 429    | `too_many_requests`, with Retry-After                             | later             |
| 503    | `kafka_unavailable`, `stopping`                                   | yes               |

Nothing of a body and no header is logged.
"""

import asyncio
import time
from collections import Counter as Tally
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from math import ceil
from typing import Final, NamedTuple

import msgspec
from aiohttp import web
from prometheus_client import Counter

from pipeline.adapters.items import Refusal
from pipeline.ingest import metrics
from pipeline.ingest.delivery import Delivery, NotAcknowledged
from pipeline.ingest.intake import Intake, Taken
from pipeline.ingest.rates import Bucket
from pipeline.ingest.settings import Scheme, Source
from pipeline.ingest.signatures import verify

_JSON: Final = "application/json"
_RETRY_SECONDS: Final = 5


class Answer(NamedTuple):
    """What a webhook is answered."""

    status: int
    body: dict[str, object]
    retry_seconds: int | None = None


@dataclass(slots=True)
class Gate:
    """One source of the settings, ready to take webhooks."""

    name: str
    source: Source
    scheme: Scheme
    secrets: tuple[str, ...]
    topic: str
    intake: Intake
    bucket: Bucket


class Endpoint:
    """Answers webhooks.

    Parameters
    ----------
    gates
        Sources by name.
    delivery
        Writes their events.
    replay_window_seconds
        How far a signature's own time may be from now.
    body_seconds
        How long a body may take to come.
    """

    def __init__(
        self,
        gates: dict[str, Gate],
        delivery: Delivery,
        replay_window_seconds: float,
        body_seconds: float,
    ) -> None:
        self._gates, self._delivery = gates, delivery
        self._window, self._body_seconds = replay_window_seconds, body_seconds
        self.stopping = False
        self.active = 0
        """Webhooks under way."""
        self.idle = asyncio.Event()
        """Set once the last one is answered while stopping."""

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """Answer a request; the handler of an `aiohttp.web.Server`."""
        began = time.perf_counter()
        name = request.raw_path.partition("?")[0].strip("/")
        if name == "healthz":
            return as_response(self.health())
        gate = self._gates.get(name)
        self.active += 1
        try:
            answer = await self._answer(request, gate)
        finally:
            self.active -= 1
            if self.stopping and not self.active:
                self.idle.set()
        _answered(name if gate else "(none)", answer.status).inc()
        metrics.SECONDS.observe(time.perf_counter() - began)
        return as_response(answer)

    def health(self) -> Answer:
        """Return whether webhooks can be taken now."""
        problem = "stopping" if self.stopping else self._delivery.problem
        if problem:
            return Answer(503, {"status": "failing", "problems": [problem]})
        return Answer(200, {"status": "ok"})

    def unknown_counts(self) -> Iterator[tuple[str, Mapping[str, int]]]:
        """Yield how often each value no table knows has come, by source."""
        for name, gate in self._gates.items():
            yield name, gate.intake.unknowns.counts

    def unknowns(self) -> dict[str, dict[str, object]]:
        """Return the values no table knows, by source."""
        return {
            name: {
                value: {"count": count, "seen": gate.intake.unknowns.examples[value]}
                for value, count in gate.intake.unknowns.counts.most_common()
            }
            for name, gate in self._gates.items()
        }

    async def _answer(self, request: web.BaseRequest, gate: Gate | None) -> Answer:
        refused = self._refusal(request, gate)
        if refused is not None or gate is None:
            return refused or _error(404, "no_such_source")
        try:
            body = await _body(request, gate.source.max_body_bytes, self._body_seconds)
        except TimeoutError:
            return _error(408, "slow_body", _RETRY_SECONDS)
        if body is None:
            return _error(413, "too_large")
        denied = verify(
            gate.scheme,
            gate.secrets,
            request.headers,
            body,
            now=time.time(),
            window_seconds=self._window,
        )
        if denied is not None:
            return _error(401, denied)
        wait = gate.bucket.wait(time.monotonic())
        if wait > 0:
            return _error(429, "too_many_requests", ceil(wait))
        return await self._take(gate, body)

    def _refusal(self, request: web.BaseRequest, gate: Gate | None) -> Answer | None:
        """Return why a request is refused before its body is read."""
        if self.stopping:
            return _error(503, "stopping", _RETRY_SECONDS)
        if gate is None:
            return _error(404, "no_such_source")
        if request.method != "POST":
            return _error(405, "post_only")
        kind = request.content_type.casefold()
        if kind != _JSON and not kind.endswith("+json"):
            return _error(415, "not_json_content")
        if request.headers.get("Content-Encoding", "identity").casefold() != "identity":
            return _error(415, "not_json_content")
        return None

    async def _take(self, gate: Gate, body: bytes) -> Answer:
        taken = gate.intake.take(body, "", datetime.now(UTC))
        _count(gate.name, taken)
        if taken.events:
            try:
                await self._delivery.send(gate.topic, taken.events)
            except NotAcknowledged:
                return _error(503, "kafka_unavailable", _RETRY_SECONDS)
            for event in taken.events:
                gate.intake.seen.add(event.event_id)
            _written(gate.name).inc(len(taken.events))
        elif taken.rejected and not taken.duplicates:
            return _unreadable(taken)
        return _accepted(len(taken.events)) if _all_new(taken) else Answer(200, _summary(taken))


def _all_new(taken: Taken) -> bool:
    return not (taken.duplicates or taken.rejected)


@lru_cache(512)
def _accepted(events: int) -> Answer:
    """Return the answer to a webhook whose every event is new, made once."""
    return Answer(200, {"accepted": events, "duplicates": 0, "rejected": {}})


@lru_cache(512)
def _answered(source: str, status: int) -> Counter:
    return metrics.REQUESTS.labels(source, status)


@lru_cache(512)
def _written(source: str) -> Counter:
    return metrics.EVENTS.labels(source)


def _count(name: str, taken: Taken) -> None:
    if taken.duplicates:
        metrics.DUPLICATES.labels(name).inc(taken.duplicates)
    for item in taken.rejected:
        metrics.REJECTED.labels(name, str(item.reason)).inc()
    if taken.retracted:
        metrics.RETRACTED.labels(name, "in_time").inc(taken.retracted)
    if taken.too_late:
        metrics.RETRACTED.labels(name, "too_late").inc(taken.too_late)
    if taken.unknown:
        metrics.UNKNOWN.labels(name).inc(taken.unknown)


def _summary(taken: Taken) -> dict[str, object]:
    return {
        "accepted": len(taken.events),
        "duplicates": taken.duplicates,
        "rejected": dict(Tally(str(item.reason) for item in taken.rejected)),
    }


def _unreadable(taken: Taken) -> Answer:
    reasons = dict(Tally(str(item.reason) for item in taken.rejected))
    if set(reasons) == {Refusal.NOT_JSON}:
        return _error(400, "not_json")
    return Answer(422, {"error": "unreadable", "reasons": reasons})


async def _body(request: web.BaseRequest, most: int, seconds: float) -> bytes | None:
    """Return the body, None where it is larger than it may be. Raises `TimeoutError`."""
    if (request.content_length or 0) > most:
        return None
    if request.content.is_eof():  # it has come with its headers
        read = request.content.read_nowait()
        return read if len(read) <= most else None
    return await _slow_body(request, most, seconds)


async def _slow_body(request: web.BaseRequest, most: int, seconds: float) -> bytes | None:
    """Return a body that comes in parts. Raises `TimeoutError`."""
    read = bytearray()
    async with asyncio.timeout(seconds):
        while chunk := await request.content.readany():
            read += chunk
            if len(read) > most:
                return None
    return bytes(read)


def _error(status: int, reason: str, retry_seconds: int | None = None) -> Answer:
    return Answer(status, {"error": str(reason)}, retry_seconds)


def as_response(answer: Answer) -> web.Response:
    """Return an answer as HTTP."""
    response = web.Response(body=_encode(answer.body), status=answer.status, content_type=_JSON)
    if answer.retry_seconds is not None:
        response.headers["Retry-After"] = str(answer.retry_seconds)
    return response


_encode: Final = msgspec.json.Encoder().encode
