"""The books of a run on real orders: what went in, what became of it, and what does not add up."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from configs.policy_schema import Policies
from detectors.decisions import Decision, StallOpened
from pipeline.demo_watch import Seen
from pipeline.ledger import ENDED, Account
from pipeline.policy import judge
from pipeline.remedies import Nothing, RemedyRequest

UNSETTLED = "UNSETTLED"


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Orders flagged as stalled; each delivered one in the tables stands for `weight` of them."""

    weight: float
    never_delivered: int
    never_delivered_flagged: int
    delivered: int
    delivered_flagged: int

    @property
    def flagged_share(self) -> float:
        """Share of all orders that were flagged, weighted."""
        orders = self.never_delivered + self.weight * self.delivered
        return self._flagged / orders if orders else 0.0

    @property
    def never_delivered_share(self) -> float | None:
        """Share of the flagged orders that never arrived, weighted; None when none was flagged."""
        return self.never_delivered_flagged / self._flagged if self._flagged else None

    @property
    def _flagged(self) -> float:
        return self.never_delivered_flagged + self.weight * self.delivered_flagged


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """Both sides of every account."""

    parts: dict[str, str]
    """Which broker and which Redis it ran on."""
    seconds: float
    rows: dict[str, Any]
    """The importer's own books: rows read, used and refused by reason."""
    events: int
    """What the importer made, plus what was sent besides."""
    acknowledged: int
    """By the broker, to the producer."""
    in_topics: int
    """Read back, read committed."""
    absorbed: int
    """By the worker's own count."""
    dead_letters: dict[str, int]
    """In their topic, by reason."""
    dead_letters_counted: int
    """By the worker's own count."""
    decisions: dict[str, int]
    """By kind and reason."""
    outcomes: dict[str, dict[str, int]]
    """What became of each decision a policy wants a remedy for: by kind and reason, then ending."""
    not_eligible: dict[str, int]
    """Openings that no policy wants a remedy for."""
    unasked: int
    """Remedies in the ledger that no decision asks for."""
    coupons: int
    spent_minor: int
    currency: str
    books: list[str]
    """Where ledger, Redis and the provider's own list differ."""
    rates: Rates

    @property
    def state_changes(self) -> int:
        """Records that were absorbed and are no dead letters."""
        return self.absorbed - sum(self.dead_letters.values())

    def differences(self) -> list[str]:
        """Return everything that does not balance, in words."""
        return [*self._lost_rows(), *self._lost_records(), *self._lost_remedies(), *self.books]

    def _lost_rows(self) -> Iterator[str]:
        orders, reviews = self.rows["orders"], self.rows["reviews"]
        if orders["rows"] != orders["used"] + sum(orders["refused"].values()):
            yield f"orders: {orders}"
        complaints, refused = sum(reviews["complaints"].values()), sum(reviews["refused"].values())
        if reviews["rows"] != complaints + reviews["content"] + refused:
            yield f"reviews: {reviews}"

    def _lost_records(self) -> Iterator[str]:
        for name in ("acknowledged", "in_topics", "absorbed"):
            number = getattr(self, name)
            if number != self.events:
                yield f"events: {self.events:,}, {name.replace('_', ' ')}: {number:,}"
        letters = sum(self.dead_letters.values())
        if letters != self.dead_letters_counted:
            yield f"dead letters: {letters:,} in the topic, {self.dead_letters_counted:,} counted"

    def _lost_remedies(self) -> Iterator[str]:
        for name, endings in self.outcomes.items():
            if count := endings.get(UNSETTLED):
                yield f"{name}: {count:,} without an end"
        if self.unasked:
            yield f"{self.unasked:,} remedies that no decision asks for"


def named(decision: Decision) -> str:
    """Return kind and reason of a decision."""
    return f"{type(decision).__struct_config__.tag} {decision.reason}"


def counted(names: Collection[str]) -> dict[str, int]:
    """Return how often each name is there, the most frequent first."""
    return dict(Counter(names).most_common())


def remedies(seen: Seen, policies: Policies) -> dict[str, Any]:
    """Return the fields of a balance that are about remedies."""
    outcomes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    wanted: set[str] = set()
    nothing: list[str] = []
    for decision in seen.decisions:
        wish = judge(decision, policies)
        if isinstance(wish, RemedyRequest):
            wanted.add(wish.remedy_id)
            outcomes[named(decision)][_ending(seen.book.accounts.get(wish.remedy_id))] += 1
        elif isinstance(wish, Nothing):
            nothing.append(f"{named(decision)}: {wish}")
    return {
        "outcomes": {name: dict(endings.most_common()) for name, endings in outcomes.items()},
        "not_eligible": counted(nothing),
        "unasked": len(seen.book.accounts.keys() - wanted),
        "coupons": seen.coupons(),
        "spent_minor": seen.spent_minor(),
        "currency": policies.currency,
    }


def _ending(account: Account | None) -> str:
    if account is None or account.state not in ENDED or account.untold:
        return UNSETTLED
    return str(account.state) + (f": {account.reason}" if account.reason else "")


def rates(decisions: Sequence[Decision], statuses: Mapping[str, str], weight: float) -> Rates:
    """Compare flags with the orders' final status."""
    flagged = {each.parcel_id for each in decisions if isinstance(each, StallOpened)}
    delivered = {order for order, status in statuses.items() if status == "delivered"}
    never = statuses.keys() - delivered
    return Rates(
        weight=weight,
        never_delivered=len(never),
        never_delivered_flagged=len(never & flagged),
        delivered=len(delivered),
        delivered_flagged=len(delivered & flagged),
    )


def show(balance: Balance, console: Console) -> None:
    """Print the books for a person."""
    table = Table("", "number", "of which", title="Books of a run on real orders")
    for what, number, rest in _lines(balance):
        table.add_row(what, f"{number:,}", rest)
    console.print(table)
    console.print(
        f"{balance.parts['broker']} and {balance.parts['redis']}, {balance.seconds:.0f} s",
        highlight=False,
    )
    for line in balance.differences():
        console.print(f"DOES NOT BALANCE: {line}", style="red", markup=False)
    if not balance.differences():
        console.print("The books balance: nothing lost; ledger = Redis = provider.")


def _lines(balance: Balance) -> Iterator[tuple[str, int, str]]:
    orders, reviews = balance.rows["orders"], balance.rows["reviews"]
    yield "rows of orders", orders["rows"], _said({"used": orders["used"]} | orders["refused"])
    complaints = {f"complaints, {name}": n for name, n in reviews["complaints"].items()}
    kept = complaints | {"content": reviews["content"]} | reviews["refused"]
    yield "rows of reviews", reviews["rows"], _said(kept)
    yield "events sent", balance.events, _said({"found in the topics": balance.in_topics})
    letters = {f"dead letters, {name}": n for name, n in balance.dead_letters.items()}
    changes = {"state changes": balance.state_changes}
    yield "events absorbed", balance.absorbed, _said(changes | (letters or {"dead letters": 0}))
    yield "decisions", sum(balance.decisions.values()), _said(balance.decisions)
    for name, endings in balance.outcomes.items():
        yield f"remedies for {name}", sum(endings.values()), _said(endings)
    left = balance.not_eligible
    yield "decisions without a remedy", sum(left.values()), _said(left)
    money = f"{balance.spent_minor / 100:,.2f} {balance.currency}"
    yield "coupons at the provider", balance.coupons, money
    flags = balance.rates
    yield (
        "orders never delivered",
        flags.never_delivered,
        f"{flags.never_delivered_flagged:,} flagged",
    )
    yield "orders delivered", flags.delivered, f"{flags.delivered_flagged:,} flagged"
    arrived = flags.never_delivered_share
    yield (
        "orders flagged",
        flags.never_delivered_flagged + flags.delivered_flagged,
        f"{flags.flagged_share:.1%} of all, weighting a delivered one by {flags.weight:g}"
        + ("" if arrived is None else f"; {arrived:.1%} of them never arrived"),
    )


def _said(numbers: Mapping[str, int]) -> str:
    return "\n".join(f"{n:,} {name}" for name, n in numbers.items())
