"""Messages of the processes: structlog to standard error, for people or for programs.

An event name in plain words, then keys. Never a secret, a customer's text or a raw record: log
ids, counts and reasons. As a second line of defence a processor hides values of keys that look
like secrets.
"""

import logging
import sys
from typing import Final

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from pipeline.settings import Log, LogFormat

_SECRET_WORDS: Final = ("secret", "password", "token", "authorization", "signature")
_PRIVATE_KEYS: Final = frozenset({"text", "value", "raw", "body"})


def configure(settings: Log, *, process: str) -> None:
    """Send structlog's and the standard library's messages to standard error.

    Parameters
    ----------
    settings
        Level and format.
    process
        Stands in every message: `worker`, `deliver`, …
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    before: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        hide_secrets,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=before,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(settings.format),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for noisy in ("aiokafka", "kafka", "asyncio", "aiohttp.access"):
        logging.getLogger(noisy).setLevel(max(level, logging.WARNING))
    structlog.contextvars.bind_contextvars(process=process)


def _rendering(wanted: LogFormat) -> list[Processor]:
    console = wanted is LogFormat.CONSOLE or (wanted is LogFormat.AUTO and sys.stderr.isatty())
    if console:
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace what must not be written down: values of secret and of private keys."""
    for key in event:
        if key in _PRIVATE_KEYS or any(word in key.lower() for word in _SECRET_WORDS):
            event[key] = "(hidden)"
    return event
