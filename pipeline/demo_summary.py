"""What the demo found, for a manager to read and for a program."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime

import msgspec

from configs.policy_schema import Policies
from detectors.decisions import Decision, StallOpened, SurgeOpened
from pipeline.demo_watch import Seen
from pipeline.explain import money
from pipeline.ledger import Account, State, day_of
from pipeline.scoring import (
    Hits,
    Stalls,
    flag_times,
    score_feeds,
    score_repeats,
    score_signoffs,
    score_stalls,
    score_surges,
)
from simulator.trouble import Kind
from simulator.truth import Truth


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """What customers were given."""

    currency: str
    coupons: int
    spent_minor: int
    reserved_minor: int
    """Still promised at the end."""
    most_a_day_minor: int
    """The day on which most was given."""
    budget_a_day_minor: int
    remedies: dict[str, int]
    """By state."""
    withheld: dict[str, int]
    """Refused, held and parked, by reason."""


class Surge(msgspec.Struct, frozen=True, kw_only=True):
    """One planted surge."""

    region: str
    category: str
    began_at: datetime
    found_at: datetime | None
    hours_after_begin: float | None
    hours_before_end: float | None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The demo in figures."""

    parcels: int
    scans: int
    complaints: int
    seconds: float
    """From the first event to the last outcome."""
    events_per_second: float
    through: datetime
    decisions: dict[str, int]
    dead_letters: int
    stalls: Stalls
    surges: Hits
    each_surge: list[Surge]
    feeds: Hits
    signoffs: Hits
    repeat_complainers: Hits
    money: Money
    unsettled: int
    """Remedies without an outcome; 0 or the demo has failed."""
    books: list[str]
    """What does not agree between ledger, Redis and provider; empty when the books balance."""
    example: str | None
    """A parcel worth explaining: planted, flagged, cared for."""


def summarise(
    seen: Seen,
    truths: Sequence[Truth],
    policies: Policies,
    *,
    parcels: int,
    scans: int,
    complaints: int,
    seconds: float,
    through: datetime,
    dead_letters: int,
    books: list[str],
) -> Summary:
    """Compare what was decided with what was planted."""
    flags = flag_times(seen.decisions)
    return Summary(
        parcels=parcels,
        scans=scans,
        complaints=complaints,
        seconds=seconds,
        events_per_second=(scans + complaints) / seconds if seconds else 0.0,
        through=through,
        decisions=dict(sorted(seen.kinds.items())),
        dead_letters=dead_letters,
        stalls=score_stalls(flags, truths, parcels, through),
        surges=score_surges(seen.decisions, truths),
        each_surge=_surges(seen.decisions, truths),
        feeds=score_feeds(seen.decisions, truths),
        signoffs=score_signoffs(seen.decisions, truths),
        repeat_complainers=score_repeats(seen.decisions, truths),
        money=_money(list(seen.book.accounts.values()), policies),
        unsettled=seen.unsettled(),
        books=books,
        example=_example(seen, truths),
    )


def _money(accounts: list[Account], policies: Policies) -> Money:
    by_day: Counter[str] = Counter()
    withheld: Counter[str] = Counter()
    for account in accounts:
        by_day[day_of(account.request.decided_at)] += account.spent_minor
        if account.reason is not None and account.state is not State.ISSUED:
            withheld[f"{account.state}: {str(account.reason).replace('_', ' ')}"] += 1
    return Money(
        currency=policies.currency,
        coupons=sum(account.spent_minor > 0 for account in accounts),
        spent_minor=sum(account.spent_minor for account in accounts),
        reserved_minor=sum(account.reserved_minor for account in accounts),
        most_a_day_minor=max(by_day.values(), default=0),
        budget_a_day_minor=policies.budgets.global_per_day_minor,
        remedies=dict(sorted(Counter(str(account.state) for account in accounts).items())),
        withheld=dict(withheld.most_common()),
    )


def _surges(decisions: Sequence[Decision], truths: Sequence[Truth]) -> list[Surge]:
    raised = [decision for decision in decisions if isinstance(decision, SurgeOpened)]
    surges = []
    for truth in truths:
        if truth.kind is not Kind.COMPLAINT_SURGE:
            continue
        ended = truth.ended_at or truth.began_at
        mine = [
            decision.decided_at
            for decision in raised
            if decision.subject == truth.subject
            and decision.category == truth.category
            and truth.began_at <= decision.decided_at <= ended
        ]
        found = min(mine, default=None)
        surges.append(
            Surge(
                region=truth.region or "",
                category=truth.category or "",
                began_at=truth.began_at,
                found_at=found,
                hours_after_begin=_hours(truth.began_at, found),
                hours_before_end=_hours(found, ended),
            )
        )
    return surges


def _hours(start: datetime | None, end: datetime | None) -> float | None:
    return None if start is None or end is None else (end - start).total_seconds() / 3600


def _example(seen: Seen, truths: Sequence[Truth]) -> str | None:
    """Choose a planted parcel that was flagged before its customer complained, and cared for."""
    given: dict[str, set[State]] = defaultdict(set)
    for account in seen.book.accounts.values():
        given[account.request.subject].add(account.state)
    planted = {truth.subject: truth for truth in truths if truth.kind in {Kind.STUCK, Kind.LOST}}

    def worth(decision: StallOpened) -> tuple[bool, bool, bool, float]:
        truth = planted.get(decision.subject)
        complained = truth.complained_at if truth else None
        return (
            truth is not None and decision.decided_at >= truth.began_at,
            State.ISSUED in given[decision.subject],
            complained is not None and complained > decision.decided_at,
            -decision.decided_at.timestamp(),
        )

    opened = [decision for decision in seen.decisions if isinstance(decision, StallOpened)]
    best = max(opened, key=worth, default=None)
    return None if best is None else best.subject.removeprefix("parcel/")


def render(summary: Summary) -> list[str]:
    """Return the summary as lines for a person."""
    first = (
        f"{summary.parcels:,} parcels, {summary.scans:,} scans and {summary.complaints:,} "
        f"complaints up to {summary.through:%Y-%m-%d %H:%M}, in {summary.seconds:.0f} s "
        f"({summary.events_per_second:,.0f} events a second)"
    )
    return [
        first,
        "",
        *_stall_lines(summary.stalls),
        *_surge_lines(summary),
        *_other_lines(summary),
        *_money_lines(summary.money),
        _books_line(summary),
    ]


def _stall_lines(stalls: Stalls) -> list[str]:
    hits = stalls.hits
    lines = [
        f"Stalled parcels   {hits.found} of {hits.planted} planted were flagged in time"
        + (f", {stalls.found_late} late" if stalls.found_late else "")
        + (f"; {stalls.too_early_to_judge} too young to tell" if stalls.too_early_to_judge else ""),
    ]
    if stalls.false_in_1000 is not None:
        lines.append(
            f"                  healthy parcels flagged: {hits.false} of {stalls.healthy:,} "
            f"({stalls.false_in_1000:.1f} in 1,000)"
        )
    if stalls.complained:
        won = f", {stalls.hours_won:.0f} h earlier (median)" if stalls.hours_won else ""
        lines.append(
            f"Time won          {stalls.warned_before} of {stalls.complained} customers who "
            f"complained were told before{won}"
        )
    for cause, (suffered, flagged) in stalls.victims.items():
        lines.append(
            f"                  {cause.replace('_', ' ')}: {flagged} of {suffered} parcels caught "
            "in it were flagged"
        )
    return lines


def _surge_lines(summary: Summary) -> list[str]:
    lines = []
    for surge in summary.each_surge:
        where = f"{surge.region} ({surge.category})"
        if surge.found_at is None:
            lines.append(f"Surge             {where}: not found")
        else:
            lines.append(
                f"Surge             {where}: found {surge.hours_after_begin:.0f} h after it began, "
                f"{surge.hours_before_end:.0f} h before it ended"
            )
    if summary.surges.false:
        lines.append(
            f"                  {summary.surges.false} besides, which nothing planted explains"
        )
    return lines


def _other_lines(summary: Summary) -> list[str]:
    named = (
        ("Silent feeds", summary.feeds),
        ("Sign-offs", summary.signoffs),
        ("Repeat complaints", summary.repeat_complainers),
    )
    return [
        f"{name:17} {hits.found} of {hits.planted} found"
        + (f", {hits.false} besides" if hits.false else "")
        for name, hits in named
    ]


def _money_lines(spent: Money) -> list[str]:
    def amount(minor: int) -> str:
        return money(minor, spent.currency)

    given = (
        f"Coupons           {spent.coupons} worth {amount(spent.spent_minor)}; the most on one day "
        f"was {amount(spent.most_a_day_minor)} of {amount(spent.budget_a_day_minor)}"
    )
    lines = [given]
    if spent.withheld:
        reasons = ", ".join(f"{count} {reason}" for reason, count in spent.withheld.items())
        lines.append(f"Held back         {reasons}")
    return lines


def _books_line(summary: Summary) -> str:
    if summary.unsettled:
        return f"Books             {summary.unsettled} remedies have no outcome"
    if summary.books:
        return f"Books             DO NOT BALANCE: {'; '.join(summary.books)}"
    return "Books             balance: ledger = Redis = provider"
