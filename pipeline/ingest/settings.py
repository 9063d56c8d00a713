"""Settings of `forewarn ingest`: the sources, and where webhooks are taken."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from configs.sections import TimeZone
from detectors.events import Milestone

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class Scheme(StrEnum):
    """How a provider proves that a webhook is its own."""

    AFTERSHIP = "aftership"
    TRACK17 = "17track"
    EASYPOST = "easypost"
    """Its second signature where that comes, else the first."""
    EASYPOST_V2 = "easypost-v2"
    """The second alone: what lacks it, or is too old, is refused."""
    SHIPPO = "shippo"
    ZENDESK = "zendesk"
    STANDARD = "standard"
    """Standard Webhooks."""
    TOKEN = "token"  # noqa: S105 - a name
    """A shared secret as bearer token, for senders that cannot sign."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Source(_Section):
    """One source of events. Names match whatever their case."""

    adapter: str | None = None
    """`aftership`, `17track`, `easypost`, `shippo`, `emsevt`, `epcis`, `zendesk`, `freshdesk`,
    `tracking` or `complaints`; without it the source's own name. Not with a mapping."""
    mapping: Path | None = None
    """YAML file that maps the source's fields, for anything without an adapter of its own."""
    zone: TimeZone | None = None
    """Zone of local times without an offset; without one they are rejected, or the provider's
    documented zone is used."""
    zones: dict[str, TimeZone] = {}
    """Zone by facility, city, region or country."""
    carrier: str | None = None
    """Carrier of a source that names none."""
    carriers: dict[str, str] = {}
    """Other names for carriers."""
    region: str | None = None
    """Region of a ticket that names none."""
    regions: dict[str, str] = {}
    """Region by facility or city, or another name of a region."""
    values: dict[str, Milestone] = {}
    """Milestone by the provider's value; wins over the adapter's table."""
    awaits_customer: tuple[str, ...] = ()
    """Values after which the customer has to act first (papers, duties), besides the adapter's own;
    for EMSEVT the retention reasons of EME. The clocks of silence and customs stand still then."""
    signature: Scheme | None = None
    """How its webhooks are signed; without it the provider's own way, else Standard Webhooks."""
    secrets: tuple[SecretStr, ...] = ()
    """Secrets of its webhooks. Any of them is good: add the new one, then take the old one out."""
    requests_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1000
    """Most authentic webhooks a second over a longer time; more are answered 429."""
    burst: Annotated[int, Field(ge=1)] = 2000
    """Most authentic webhooks at once."""
    max_body_bytes: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = 1024 * 1024
    """Largest webhook; larger ones are answered 413."""

    @model_validator(mode="after")
    def _one_reader(self) -> Self:
        if self.adapter is not None and self.mapping is not None:
            raise ValueError("needs adapter or mapping, not both")
        return self


class Ingest(_Section):
    """Taking in what providers send: `forewarn ingest`."""

    pseudonym_key: SecretStr | None = None
    """Makes `customer_id` of what identifies a customer, at least 16 characters. Keep it: another
    key makes other customers. Without it customers are dropped, and tickets rejected."""
    host: str = "127.0.0.1"
    """Address webhooks are taken at. Whoever opens it to the world puts TLS in front."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port webhooks are taken at; 0 takes any free one and says which."""
    admin_host: str = "127.0.0.1"
    """Address of metrics, health and unknown values."""
    admin_port: Annotated[int, Field(ge=0, le=65535)] = 9466
    """Port of `/metrics`, `/healthz` and `/unknown`; 0 takes any free one and says which."""
    acknowledge_seconds: Annotated[float, Field(gt=0, le=60)] = 2.5
    """How long a webhook may wait for Kafka before it is answered 503; shorter than the providers
    wait (Shippo: three seconds)."""
    body_seconds: Annotated[float, Field(gt=0, le=600)] = 10.0
    """How long the body of a webhook may take to come; a slower one is answered 408, so a sender
    that trickles holds no memory for longer."""
    replay_window_seconds: Annotated[float, Field(ge=1, le=86400)] = 300
    """How far a signature's own time may be from now."""
    pending_events: Annotated[int, Field(ge=1)] = 100_000
    """Most events on their way to Kafka; beyond that webhooks are answered 503."""
    stop_seconds: Annotated[float, Field(gt=0, le=600)] = 20
    """How long webhooks under way may take to end after SIGTERM."""
    sources: dict[Name, Source] = {}
    """Sources by name; webhooks of each are taken at `/NAME`."""

    @model_validator(mode="after")
    def _long_key(self) -> Self:
        key = self.pseudonym_key
        if key is not None and len(key.get_secret_value()) < 16:
            raise ValueError("pseudonym_key must have at least 16 characters")
        return self
