"""A limit: aiokafka reads and msgspec decodes into the worker's own struct; no state."""

import asyncio
import os

import msgspec
from aiokafka import AIOKafkaConsumer

from benchmarks.peers.progress import Progress
from detectors.events import TrackingEvent


async def main() -> None:
    """Read for ever."""
    progress = Progress()
    decode = msgspec.json.Decoder(TrackingEvent).decode
    consumer = AIOKafkaConsumer(
        os.environ["TOPIC"],
        bootstrap_servers=os.environ["BROKER"],
        group_id=os.environ["GROUP"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        while True:
            fetched = await consumer.getmany(timeout_ms=100, max_records=4000)
            for records in fetched.values():
                for record in records:
                    decode(record.value)
                progress.done += len(records)
    finally:
        await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main())
