"""What really happened: counted from the provider's list and the topics, and from nothing else.

The records are read as plain JSON, without the product's own fold, so a mistake there cannot hide
itself here.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from pipeline.log_reader import read_messages
from pipeline.settings import Kafka

_ENDED: Final = frozenset({"issued", "refused", "held", "parked"})
_RESERVING: Final = frozenset({"reserved", "sent", "unknown", "parked"})


@dataclass
class Truth:
    """One run, counted."""

    requests: dict[str, dict[str, Any]]
    """By remedy."""
    states: dict[str, str]
    """Last state in the ledger, by remedy."""
    coupons: list[tuple[str, str]] = field(default_factory=list)
    """(parcel, reason) of every coupon the provider gave, with repetitions."""
    amounts: Counter[str] = field(default_factory=Counter)
    """Minor units given, by budget."""
    keys: Counter[str] = field(default_factory=Counter)
    """Coupons by idempotency key."""
    notices: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    """(state/reason) of the last states."""
    held: Counter[str] = field(default_factory=Counter)
    """Minor units the ledger says are reserved or spent, by budget."""
    alerts: set[str] = field(default_factory=set)
    """Alerts that fire."""
    records: int = 0
    """In the ledger."""
    untold: set[str] = field(default_factory=set)
    """Issued remedies whose customer was neither told nor given up."""

    @classmethod
    def of(cls, requests: dict[str, dict[str, Any]], states: dict[str, str]) -> Self:
        """What the ledger says, before the provider's list."""
        truth = cls(requests, states)
        for key, state in states.items():
            if state in _RESERVING or state == "issued":
                truth.held.update(_scopes(requests[key], requests[key]["amount_minor"]))
        return truth

    @property
    def all_told(self) -> bool:
        return not self.untold

    @property
    def found(self) -> int:
        """Coupons wanted and given: one a parcel and reason."""
        return len(set(self.coupons))

    @property
    def doubled(self) -> int:
        """Coupons beyond one a parcel, reason and episode."""
        return len(self.coupons) - self.found

    @property
    def unfinished(self) -> list[str]:
        """Requests that have not ended."""
        return [key for key in self.requests if self.states.get(key) not in _ENDED]

    def lost(self) -> list[str]:
        """Remedies that the ledger calls issued and the provider never gave."""
        paid = {key for key, r in self.requests.items() if r["amount_minor"]}
        return [
            key
            for key, state in self.states.items()
            if state == "issued" and key in paid and key not in self.keys
        ]

    def unpromised(self) -> list[str]:
        """Coupons that the ledger does not say were promised."""
        promised = {key for key, state in self.states.items() if state not in {"refused", "held"}}
        return [key for key in self.keys if key not in promised]

    def overspent(self, limits: dict[str, Any]) -> int:
        """Minor units given, or promised, beyond a budget."""
        over = 0
        for spent in (self.amounts, self.held):
            for scope, minor in spent.items():
                over = max(over, minor - _limit(scope, limits))
        return over


def _limit(scope: str, limits: dict[str, Any]) -> int:
    kind, _, name = scope.partition("/")
    if kind == "campaign":
        return int(limits["campaigns"][name]["total_minor"])
    return int(limits[f"{kind}_per_day_minor"])


def read_truth(kafka: Kafka, list_file: Path, *, requests_too: bool = True) -> Truth:
    """Read it all; without `requests_too` those that are not in the ledger yet are not known."""
    requests: dict[str, dict[str, Any]] = {}
    states: dict[str, str] = {}
    reasons: dict[str, str] = {}
    alerts: dict[str, bool] = {}
    told: dict[str, str] = {}
    ledger = _records(kafka, "ledger")
    for entry in ledger:
        if entry["type"] == "remedy":
            key = entry["remedy_id"]
            states[key] = entry["state"]
            reasons[key] = f"{entry['state']}/{entry.get('reason') or '-'}"
            if entry.get("request"):
                requests[key] = entry["request"]
        elif entry["type"] == "notification":
            told[entry["remedy_id"]] = entry["told"]
        elif entry["type"] == "alert":
            alerts[entry["alert"]["alert_id"]] = entry["alert"]["firing"]
    for wish in _records(kafka, "remedies") if requests_too else ():
        if wish["type"] == "remedy":
            requests.setdefault(wish["remedy_id"], wish)
    truth = Truth.of(requests, states)
    truth.reasons, truth.records = Counter(reasons.values()), len(ledger)
    truth.untold = {
        key
        for key, state in states.items()
        if state == "issued" and told.get(key, "pending") == "pending"
    }
    truth.alerts = {name for name, firing in alerts.items() if firing}
    read_list(truth, list_file)
    return truth


def read_list(truth: Truth, list_file: Path) -> None:
    """Add what the provider's list has."""
    lines = list_file.read_text("utf-8").splitlines() if list_file.exists() else []
    for line in map(json.loads, lines):
        if line["list"] != "coupons":
            truth.notices += 1
            continue
        order = line["body"]
        truth.keys[line["key"]] += 1
        truth.coupons.append((order.get("parcel_id", line["key"]), order.get("reason", "-")))
        request = truth.requests.get(line["key"])
        if request is not None:
            truth.amounts.update(_scopes(request, order["amount_minor"]))


def _scopes(request: dict[str, Any], minor: int) -> dict[str, int]:
    day = request["decided_at"][:10]
    scopes = {f"global/{day}": minor, f"region/{request.get('region') or '-'}/{day}": minor}
    if request.get("campaign"):
        scopes[f"campaign/{request['campaign']}"] = minor
    return scopes


def _records(kafka: Kafka, topic: str) -> list[dict[str, Any]]:
    return [
        json.loads(message.value() or b"{}")
        for partition in range(kafka.partitions)
        for message in read_messages(kafka, topic, partition)
        if not message.error()
    ]
