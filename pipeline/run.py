"""The long-running processes as commands: `forewarn worker` and `forewarn deliver`."""

import importlib
from typing import Annotated

import typer

from pipeline import logging
from pipeline.settings import Clock, Settings


def worker_command(
    clock: Annotated[
        Clock | None,
        typer.Option("--clock", help="What time an idle partition follows; else the settings."),
    ] = None,
) -> None:
    """Judge events: reads tracking and complaints, writes decisions, exactly once.

    Example: FOREWARN_KAFKA__BROKERS=kafka:9092 forewarn worker

    Start as many as there are partitions; they share the work. Ends gracefully on SIGTERM. The
    topics must exist: forewarn topics create.
    """
    settings = Settings.load()
    if clock is not None:
        settings = settings.model_copy(update={"clock": clock})
    logging.configure(settings.log, process="worker")
    raise typer.Exit(importlib.import_module("pipeline.worker").main(settings))


def deliver_command() -> None:
    """Carry decisions out: policy, budget, coupon, notification, alert.

    Example: FOREWARN_REDIS__URL=redis://redis:6379/0 forewarn deliver

    Without URLs for coupons, notifications and Alertmanager, it says on the console what it would
    send. Ends gracefully on SIGTERM; may be killed at any moment without a second coupon.
    """
    settings = Settings.load()
    logging.configure(settings.log, process="deliver")
    importlib.import_module("pipeline.deliver").main(settings)
