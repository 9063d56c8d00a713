"""The process around the lanes."""

import asyncio

from pipeline.deliver import end


def test_a_lost_cancellation_is_repeated() -> None:
    """A task that loses its first cancellation ends all the same: no rebalance waits for ever."""

    async def run() -> None:
        lost = 0

        async def loses_one() -> None:
            nonlocal lost
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    if lost:
                        raise
                    lost += 1

        task = asyncio.create_task(loses_one())
        await asyncio.sleep(0)
        await asyncio.wait_for(end([task]), 30)
        assert task.cancelled()
        assert lost == 1

    asyncio.run(run())
