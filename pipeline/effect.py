"""Do remedies work? Customers held out at random against the others, from what was written down.

A customer counts once, from the first remedy that was asked for them (given or held out: both are
in the ledger), and all that happens within a window after it. Who is compared was settled by a hash
before anything happened, so nothing but the remedies can explain a difference. Refusals for other
reasons (caps, budgets, too late) stay in the treated group: the policy is measured as it is.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from detectors.decisions import ClearedReason, Decision, StallCleared
from detectors.events import Complaint
from pipeline.ledger import Account, Book, State
from pipeline.remedies import Reason
from pipeline.sequences import Comparison, Interval

MOST_COMPLAINTS = 20
"""More complaints of one customer within the window count as this many."""


class Outcome(StrEnum):
    """What is compared, a customer."""

    COMPLAINTS = "complaints"
    REPEATED = "repeat_complaints"
    """1 with two complaints or more."""
    LATE = "late_parcels"
    """1 when the parcel was not delivered by its promise; parcels with a promise only."""


@dataclass(slots=True)
class Evidence:
    """What was written down: ledger, complaints, arrivals."""

    accounts: list[Account] = field(default_factory=list)
    complaints: dict[str, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    delivered: dict[str, datetime] = field(default_factory=dict)
    """By subject, from the ends of stalls."""
    latest: datetime | None = None

    def see_book(self, book: Book) -> None:
        """Take a ledger partition."""
        for account in book.accounts.values():
            self.accounts.append(account)
            self._reach(account.request.decided_at)

    def see_complaint(self, complaint: Complaint) -> None:
        """Take a complaint."""
        self.complaints[complaint.customer_id].append(complaint.occurred_at)
        self._reach(complaint.occurred_at)

    def see_decision(self, decision: Decision) -> None:
        """Take a decision: the end of a stall says when a parcel arrived."""
        self._reach(decision.decided_at)
        if isinstance(decision, StallCleared) and decision.reason is ClearedReason.DELIVERED:
            known = self.delivered.get(decision.subject, decision.occurred_at)
            self.delivered[decision.subject] = min(known, decision.occurred_at)

    def _reach(self, at: datetime) -> None:
        self.latest = at if self.latest is None else max(self.latest, at)


class Group(msgspec.Struct, frozen=True):
    """What remedies did to one outcome in one group of customers."""

    outcome: Outcome
    group: str
    """`all`, `policy/NAME` or `region/NAME`."""
    treated: int
    held_out: int
    treated_mean: float | None
    held_out_mean: float | None
    avoided: float | None
    """How much of the outcome a treated customer was spared; None without an opinion."""
    avoided_low: float | None
    avoided_high: float | None
    spent_minor: int
    """Paid to the treated of the group."""
    confidence: float
    """Of this interval; those of one list of groups hold together at the stated one."""

    @property
    def works(self) -> bool:
        """Whether the remedies certainly spared customers something."""
        return self.avoided_low is not None and self.avoided_low > 0


@dataclass(frozen=True, slots=True)
class Unit:
    """One customer: when it began, whether they were held out, what it cost."""

    account: Account
    matured_at: datetime
    spent_minor: int

    @property
    def treated(self) -> bool:
        """Whether remedies were given as the policies have it."""
        return not is_held_out(self.account)


def is_held_out(account: Account) -> bool:
    """Whether a customer is held out; older ledgers say it by the refusal only."""
    return account.request.held_out or account.reason is Reason.HOLD_OUT


def units(evidence: Evidence, window: timedelta) -> list[Unit]:
    """Return the customers whose window is over, in the order it ended."""
    first: dict[str, Account] = {}
    for account in sorted(evidence.accounts, key=_when):
        customer = account.request.customer_id
        if customer is not None:
            first.setdefault(customer, account)
    spent = _spent(evidence, first, window)
    found = [
        Unit(account, account.request.decided_at + window, spent[customer])
        for customer, account in first.items()
    ]
    latest = evidence.latest
    ended = [unit for unit in found if latest is not None and unit.matured_at <= latest]
    return sorted(ended, key=lambda unit: (unit.matured_at, unit.account.request.remedy_id))


def _when(account: Account) -> tuple[datetime, str]:
    return account.request.decided_at, account.request.remedy_id


def _spent(evidence: Evidence, first: dict[str, Account], window: timedelta) -> Counter[str]:
    spent: Counter[str] = Counter()
    for account in evidence.accounts:
        customer = account.request.customer_id
        if customer is None or account.state is not State.ISSUED:
            continue
        if account.request.decided_at <= first[customer].request.decided_at + window:
            spent[customer] += account.request.amount_minor
    return spent


def measure(
    evidence: Evidence, *, treated_share: float, window: timedelta, confidence: float
) -> list[Group]:
    """Return what is known of every outcome: of all customers, by policy and by region."""
    customers = units(evidence, window)
    lists: dict[str, dict[str, list[Unit]]] = {"all": {"all": customers}}
    for kind in ("policy", "region"):
        lists[kind] = defaultdict(list)
        for unit in customers:
            request = unit.account.request
            name = request.rule if kind == "policy" else request.region or "-"
            lists[kind][f"{kind}/{name}"].append(unit)
    found = []
    for groups in lists.values():
        # Bonferroni: all intervals of a list hold together at the stated confidence.
        each = 1 - (1 - confidence) / max(len(groups), 1)
        for name, members in sorted(groups.items()):
            found += [
                _group(name, outcome, members, evidence, window, treated_share, each)
                for outcome in Outcome
            ]
    return found


def _group(
    name: str,
    outcome: Outcome,
    members: Iterable[Unit],
    evidence: Evidence,
    window: timedelta,
    treated_share: float,
    confidence: float,
) -> Group:
    compared, spent = Comparison(treated_share), 0
    for unit in members:
        value = value_of(outcome, unit, evidence, window)
        if value is not None:
            compared.add(treated=unit.treated, outcome=value)
            spent += unit.spent_minor
    found = compared.interval(confidence)
    spared = Interval(-found.estimate, -found.high, -found.low) if found else None
    return Group(
        outcome=outcome,
        group=name,
        treated=compared.treated,
        held_out=compared.held_out,
        treated_mean=_mean(compared.treated_sum, compared.treated),
        held_out_mean=_mean(compared.held_out_sum, compared.held_out),
        avoided=spared.estimate if spared else None,
        avoided_low=spared.low if spared else None,
        avoided_high=spared.high if spared else None,
        spent_minor=spent,
        confidence=confidence,
    )


def _mean(total: float, count: int) -> float | None:
    return total / count if count else None


def value_of(outcome: Outcome, unit: Unit, evidence: Evidence, window: timedelta) -> float | None:
    """Return a customer's outcome, None where it is none of theirs."""
    request = unit.account.request
    if outcome is Outcome.LATE:
        if request.promised_at is None:
            return None
        arrived = evidence.delivered.get(request.subject)
        return float(arrived is None or arrived > request.promised_at)
    began = request.decided_at
    times = evidence.complaints.get(request.customer_id or "", ())
    count = sum(began < at <= began + window for at in times)
    if outcome is Outcome.REPEATED:
        return float(count >= 2)
    return float(min(count, MOST_COMPLAINTS))
