"""The attacks, by what is attacked. Importing a module enters its rows into the table."""

from tests.faults.rows import (
    abuse,
    broker,
    budgets,
    clocks,
    crashes,
    programs,
    provider,
    redis,
    replays,
)

ALL = (crashes, redis, provider, budgets, broker, replays, abuse, clocks, programs)
