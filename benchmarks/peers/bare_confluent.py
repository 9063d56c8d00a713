"""A limit: confluent-kafka reads and msgspec decodes into the worker's own struct; no state."""

import os

import msgspec
from confluent_kafka import Consumer

from benchmarks.peers.progress import Progress
from detectors.events import TrackingEvent


def main() -> None:
    """Read for ever."""
    progress = Progress()
    decode = msgspec.json.Decoder(TrackingEvent).decode
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["BROKER"],
            "group.id": os.environ["GROUP"],
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([os.environ["TOPIC"]])
    while True:
        for message in consumer.consume(4000, 0.1):
            value = message.value()
            if message.error() is None and value is not None:
                decode(value)
                progress.done += 1


if __name__ == "__main__":
    main()
