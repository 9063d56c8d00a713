"""Where Forewarn connects to and how it runs: one file and `FOREWARN_…` variables.

A file (YAML or TOML, `--settings FILE` or `FOREWARN_SETTINGS`) gives what stays; variables give
what differs and win over it. `__` goes one level down: `FOREWARN_KAFKA__BROKERS` is
`kafka.brokers`. An unknown key or variable is an error. Secrets are `SecretStr`: read them with
`get_secret_value()` where they are used and nowhere else.

What is detected and what customers are given is not here but in `configs/`.
"""

import os
from base64 import b64decode
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as _UnreadableVariable

from configs.problems import ConfigError, Location, Place, Problem, known_keys, nearest, problems_of
from configs.source import Source, read_source
from pipeline.ingest.settings import Ingest
from pipeline.patience import STANDARD_SECONDS

PREFIX: Final = "FOREWARN_"
FILE_VARIABLE: Final = "FOREWARN_SETTINGS"
OTHER_PREFIXES: Final = (
    "FOREWARN_TEST",
    "FOREWARN_BENCH",
    "FOREWARN_REQUIRE",
    "FOREWARN_KAFKA_JARS",
)
"""Variables of the tests and benchmarks, which are no settings."""


class Clock(StrEnum):
    """What time follows in a partition that has nothing to read."""

    BROKER = "broker"
    """The broker's time: live use."""
    DATA = "data"
    """The data's own time: demos and replays of the past."""


class OnGap(StrEnum):
    """What to do when records between the state and the topic are gone."""

    STOP = "stop"
    SKIP = "skip"


class LogLevel(StrEnum):
    """The least serious message that is shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How a message is written to standard error."""

    AUTO = "auto"
    """`console` on a terminal, else `json`."""
    CONSOLE = "console"
    JSON = "json"


def _http_url(url: str) -> str:
    """Refuse what is not http(s) and credentials, which messages would show."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL")
    if parts.username or parts.password:
        raise ValueError("must not hold a user name or password")
    return url


def _redis_url(url: SecretStr) -> SecretStr:
    if urlsplit(url.get_secret_value()).scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("must be a redis://, rediss:// or unix:// URL")
    return url


def _signing_key(secret: str) -> None:
    """Refuse what cannot sign, without showing it."""
    try:
        key = b64decode(secret.removeprefix("whsec_") + "==", validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError("a secret must be whsec_ and base64")


HttpUrl = Annotated[str, AfterValidator(_http_url)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=0, le=65535)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Kafka(_Section):
    """The broker and the topics."""

    brokers: str = Field(default="127.0.0.1:9092", min_length=1)
    """`host:port`, several separated by commas."""
    prefix: str = Field(default="forewarn", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    """First part of every topic's name: `PREFIX.tracking`, `PREFIX.decisions`, …"""
    group: str = Field(default="forewarn", pattern=r"^[A-Za-z0-9._-]{1,100}$")
    """Consumer group of the workers and first part of their transactional ids. Every worker that
    shares the work has the same."""
    instance: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,100}$")
    """Name of this worker among those of the group, the same after a restart (a pod's name). With
    it a worker that is back within the session timeout gets its partitions again and the others do
    not notice; without it, each stop and start is a rebalance."""
    partitions: int = Field(default=4, ge=1, le=1024)
    """Partitions of every input topic: the most workers that can share the work. It is never
    changed in place, because a parcel's state lies where its key falls: `forewarn repartition`
    brings everything to topics under a new prefix."""
    replication: int = Field(default=1, ge=1, le=16)
    """Copies of every topic; 3 where losing a broker must lose nothing."""
    retention_days: float = Field(default=7, gt=0)
    """How long events, counts and lessons are kept. A worker that is down for longer finds a
    gap."""
    decisions_retention_days: float = Field(default=90, gt=0)
    """How long decisions, remedies and dead letters are kept. The ledger is kept forever."""
    session_timeout_seconds: float = Field(default=30, ge=1, le=1800)
    """After this long without a heartbeat a worker's partitions go to another one."""
    transaction_timeout_seconds: float = Field(default=60, ge=1, le=900)
    """After this long the broker aborts a transaction that a dead worker left open."""
    request_timeout_seconds: float = Field(default=20, ge=1, le=300)
    """How long one request to the broker may take."""
    max_poll_records: int = Field(default=4000, ge=1, le=100_000)
    """Most records of one chunk, and so of one transaction. Larger is faster and later."""

    def topic(self, name: str) -> str:
        """Return a topic's full name: `topic("tracking")` is `forewarn.tracking`."""
        return f"{self.prefix}.{name}"


class Redis(_Section):
    """Where reservations of money are kept. It can be rebuilt from the ledger."""

    url: Annotated[SecretStr, AfterValidator(_redis_url)] = SecretStr("redis://127.0.0.1:6379/0")
    """`redis://[user:password@]host:port/database`."""
    prefix: str = Field(default="forewarn", pattern=r"^[A-Za-z0-9._:-]{1,100}$")
    """First part of every key."""
    timeout_seconds: Seconds = 2
    """How long one call may take before Redis counts as gone."""

    @property
    def location(self) -> str:
        """The URL without user name and password, for messages."""
        parts = urlsplit(self.url.get_secret_value())
        host = f"{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
        return f"{parts.scheme}://{host}{parts.path}"


class Webhook(_Section):
    """A receiver of signed requests (Standard Webhooks)."""

    url: HttpUrl | None = None
    """Where requests go; without it they go to the console."""
    secret: SecretStr | None = None
    """`whsec_…`: signs every request. While it is being changed both, the new one first, with a
    space between them: receivers then find a signature by either."""
    secret_file: Path | None = None
    """A file with the secret instead, as container platforms mount them. One of both is required
    with a URL."""
    timeout_seconds: Seconds = 5
    """How long one call may take before its outcome counts as unknown."""

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.secret is not None and self.secret_file is not None:
            raise ValueError("give secret or secret_file, not both")
        if self.url is not None and not self.key:
            raise ValueError("a url needs a secret, which signs the requests")
        for part in self.key.split():
            _signing_key(part)
        return self

    @property
    def key(self) -> str:
        """The secret, or both of them; raises `ValueError` when its file cannot be read."""
        if self.secret is not None:
            return self.secret.get_secret_value()
        if self.secret_file is None:
            return ""
        try:
            return self.secret_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{self.secret_file} cannot be read: {type(error).__name__}") from None


class Coupons(Webhook):
    """Where coupons are ordered: a receiver of signed requests (Standard Webhooks)."""

    idempotent: bool = True
    """Whether a repeated `Idempotency-Key` is answered as the first time and has no second effect.
    `false`: each coupon is asked for once, and one whose answer is lost waits for a person."""


class Actions(Webhook):
    """Where upgrades and follow-ups are asked for (Standard Webhooks)."""


def _smtp_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"smtp", "smtps"} or not parts.hostname:
        raise ValueError("must be an smtp:// (STARTTLS) or smtps:// URL")
    if parts.username or parts.password:
        raise ValueError("must not hold a user name or password")
    return url


class Email(_Section):
    """Messages to customers as e-mail, instead of the notification webhook."""

    url: Annotated[str, AfterValidator(_smtp_url)] | None = None
    """`smtp://host:587`, which must offer STARTTLS, or `smtps://host:465`."""
    user: str | None = None
    """Who logs in; without it nobody does."""
    password: SecretStr | None = None
    """Required with a user."""
    sender: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9._+=-]{1,64}@[A-Za-z0-9.-]{1,190}$"
    )
    """Address customers see. Required with a URL."""
    recipient_domain: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.-]{1,190}$")
    """Mail goes to `PSEUDONYM@` this: a relay of yours that knows customers by their pseudonyms, so
    that Forewarn need not know an address. Required with a URL."""
    language: Literal["en", "zh"] = "zh"
    """What customers read."""
    region_languages: dict[str, Literal["en", "zh"]] = Field(default_factory=dict)
    """What those of some regions read instead."""
    timeout_seconds: Seconds = 10
    """How long one message may take before its outcome counts as unknown."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.url is not None and not (self.sender and self.recipient_domain):
            raise ValueError("a url needs sender and recipient_domain")
        if (self.user is None) != (self.password is None):
            raise ValueError("user and password go together")
        return self


class Outbound(_Section):
    """What requests that leave may do."""

    allow: str = ""
    """Hosts, as written in URLs and separated by commas, that may be inside (loopback, private,
    link-local addresses) or without TLS, such as `alertmanager`. All others must be public and
    `https`."""
    connect_seconds: Seconds = 3
    """How long connecting may take."""
    read_seconds: Seconds = 5
    """Longest silence within an answer."""

    @property
    def allowed(self) -> frozenset[str]:
        """The hosts."""
        return frozenset(name.strip() for name in self.allow.split(",") if name.strip())


class Alertmanager(_Section):
    """Prometheus Alertmanager, which tells operations."""

    url: HttpUrl | None = None
    """Base URL, e.g. `http://alertmanager:9093`; without it alerts go to the console."""
    timeout_seconds: Seconds = 5
    """How long one call may take."""


class Sharing(StrEnum):
    """How deliver processes share the partitions."""

    GROUP = "group"
    """By a consumer group: start as many as you like."""
    ALL = "all"
    """One process has them all and starts at once; a second one takes them from the first."""


class Deliver(_Section):
    """How remedies are issued."""

    sharing: Sharing = Sharing.GROUP
    """`group`: several processes share the work. `all`: this one does all of it."""
    batch: int = Field(default=64, ge=1, le=1000)
    """Most requests of one partition that are under way at once."""
    retry_seconds: Annotated[tuple[Seconds, ...], Field(min_length=1, max_length=32)] = (
        STANDARD_SECONDS
    )
    """Waits before a silent provider is asked again, each spread by up to a quarter; after the last
    attempt the remedy is parked for a person. The default is the schedule of Standard Webhooks."""
    lease_seconds: Seconds = 20
    """A process that was frozen for longer does not call the provider before it has asked the
    broker whether its partition is still its own."""
    alert_resend_seconds: Seconds = 60
    """How often a firing alert is sent again; Alertmanager forgets it after four times as long."""
    queue_records: int = Field(default=20_000, ge=1)
    """How far one partition reads ahead of what it issues, to see which episodes have ended."""


class Metrics(_Section):
    """Where metrics (`/metrics`) and health (`/health/live`, `/health/ready`) are served."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` in a container."""
    port: Port = 9464
    """Port of the worker; 0 takes any free one and says which."""
    deliver_port: Port = 9465
    """Port of deliver; 0 takes any free one and says which."""


class Log(_Section):
    """Messages, on standard error."""

    level: LogLevel = LogLevel.INFO
    """The least serious message that is shown."""
    format: LogFormat = LogFormat.AUTO
    """`console` for people, `json` for programs, `auto` decides by the terminal."""


class Settings(BaseSettings):
    """Everything a process of Forewarn is told from outside."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    config: Path | None = None
    """Directory of `detectors.yaml` and `policies.yaml`; without it the shipped ones are used."""
    clock: Clock = Clock.BROKER
    """`broker`: an idle partition follows the broker's time. `data`: time is that of the data, for
    demos and replays of the past."""
    tick_seconds: Seconds = 1
    """How often a quiet partition is given the time."""
    idle_seconds: Seconds = 5
    """A partition is idle when it has had nothing to read for this long."""
    on_gap: OnGap = OnGap.STOP
    """What to do when records were deleted before they were read: `stop` with an error or `skip`
    them."""
    kafka: Kafka = Kafka()
    redis: Redis = Redis()
    coupons: Coupons = Coupons()
    notifications: Webhook = Webhook()
    email: Email = Email()
    actions: Actions = Actions()
    alertmanager: Alertmanager = Alertmanager()
    outbound: Outbound = Outbound()
    deliver: Deliver = Deliver()
    metrics: Metrics = Metrics()
    log: Log = Log()
    ingest: Ingest = Ingest()

    @model_validator(mode="after")
    def _told_once(self) -> Self:
        if self.email.url is not None and self.notifications.url is not None:
            raise ValueError("customers are told by notifications.url or by email.url, not by both")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Variables win over what is given, which is the file's content."""
        return env_settings, init_settings

    @classmethod
    def load(cls, file: Path | None = None) -> Self:
        """Read the file (or the one `FOREWARN_SETTINGS` names) and the variables.

        Raises `ConfigError`, which names every wrong field and where it was set.
        """
        named = os.environ.get(FILE_VARIABLE)
        path = file or (Path(named) if named else None)
        source = read_source(path) if path else Source(Path("settings"), {})
        problems = _unknown_variables(cls, os.environ)
        try:
            settings = cls(**source.data)  # type: ignore[arg-type]
        except ValidationError as error:
            found = problems_of(error, cls, _places(source, os.environ))
            raise ConfigError(problems + found) from None  # its own text could show a secret
        except _UnreadableVariable as error:
            found = [Problem(f"{PREFIX}…", None, "", f"cannot be read: {error}")]
            raise ConfigError(problems + found) from None
        if problems:
            raise ConfigError(problems)
        return settings


def variable(location: Location) -> str:
    """Return the variable that sets a field: `FOREWARN_KAFKA__BROKERS`."""
    return PREFIX + "__".join(str(part).upper() for part in location)


def _places(source: Source, environ: Mapping[str, str]) -> "_Places":
    return _Places(source, {name.upper(): name for name in environ})


class _Places:
    """Where a field was set: a variable if there is one, else the file."""

    def __init__(self, source: Source, names: Mapping[str, str]) -> None:
        self._source, self._names = source, names

    def __call__(self, location: Location) -> Place:
        name = variable(location)
        if name in self._names:
            return name, None
        if location not in self._source.lines and not _within(self._source.data, location):
            inner = [known for known in self._names if known.startswith(f"{name}__")]
            if inner:
                return inner[0], None
        return self._source.place(location)


def _within(data: object, location: Location) -> bool:
    for part in location:
        if not isinstance(data, dict) or part not in data:
            return False
        data = data[part]
    return True


def _unknown_variables(model: type[BaseModel], environ: Mapping[str, str]) -> list[Problem]:
    """Find variables whose first part is no field; deeper parts are found by validation."""
    problems = []
    for name in environ:
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper == FILE_VARIABLE:
            continue
        if upper.startswith(OTHER_PREFIXES):
            continue
        first, *rest = upper.removeprefix(PREFIX).lower().split("__")
        if first not in model.model_fields:
            problems.append(Problem(name, None, "", "unknown variable", _meant(model, first, rest)))
    return problems


def _meant(model: type[BaseModel], first: str, rest: list[str]) -> str | None:
    """Guess the variable: a misspelt section, or one `_` where `__` belongs."""
    everything = {variable((key,)): (key,) for key in model.model_fields}
    for key in model.model_fields:
        everything |= {variable((key, inner)): (key,) for inner in known_keys(model, (key,))}
    return nearest(variable((first, *rest)), everything)
