"""The Faust app of a worker: no web server, no tables, every timeout set on purpose."""

import logging

from pipeline import transport
from pipeline.ownership import CLOCKED
from pipeline.settings import Settings


def new_app(settings: Settings) -> transport.App:
    """Return a Faust app without web server and tables; every timeout is set on purpose."""
    transport.register()
    for library in ("faust", "mode"):
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLogger().level))
    kafka = settings.kafka
    session = kafka.session_timeout_seconds
    brokers = [f"{transport.SCHEME}://{host.strip()}" for host in kafka.brokers.split(",")]
    app = transport.App(
        kafka.group,
        broker=brokers,
        store="memory://",
        autodiscover=False,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        topic_partitions=kafka.partitions,
        topic_replication_factor=kafka.replication,
        consumer_group_instance_id=kafka.instance,
        broker_max_poll_records=kafka.max_poll_records,
        broker_session_timeout=session,
        # Its answer is how the others learn of a rebalance, for which all must wait.
        broker_heartbeat_interval=min(1.0, session / 4),
        broker_request_timeout=max(kafka.request_timeout_seconds, session + 5),
        broker_rebalance_timeout=max(60.0, kafka.transaction_timeout_seconds),
        broker_max_poll_interval=max(300.0, 3 * kafka.transaction_timeout_seconds),
        broker_commit_interval=2.0,
        stream_wait_empty=True,
        stream_recovery_delay=0.0,
    )
    app.ticked = frozenset(kafka.topic(source) for source in CLOCKED)
    app.tick_seconds = settings.tick_seconds
    return app
