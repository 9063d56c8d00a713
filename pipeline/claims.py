"""What a request takes, and from where: budgets, caps, floods, facts. The scripts read it.

A *fact* is what one request lets others know through Redis, as a cache of all ledgers: that a
customer is in high care, or that a parcel of an order was seen to have stalled.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import msgspec

from configs.condition_schema import OBSERVED_KINDS, Kind
from configs.policy_schema import Policies
from pipeline.conditions import DAY_SECONDS
from pipeline.ledger import Account, State, scopes_of
from pipeline.remedies import Reason, RemedyRequest

_BUDGETS_AT_HAND: Final = 4096
UNLIMITED: Final = 10**14
"""Above every sum there can be, and still a whole number in Lua."""


class Scope(msgspec.Struct, frozen=True, gc=False):
    """One budget of a request."""

    key: str
    amount: int
    """What the request takes, minor units (of a day's remedies: 1)."""
    limit: int
    """Reserved + spent stay within this."""
    reason: Reason


class CapLimit(msgspec.Struct, frozen=True, gc=False):
    """What one customer or order may be given within `window` seconds."""

    key: str
    window: int
    remedies: int
    amount: int
    reason: Reason


class Cause(msgspec.Struct, frozen=True, gc=False):
    """How many requests one carrier or facility may cause within `window` seconds."""

    key: str
    window: int
    limit: int
    reason: Reason


class Fact(msgspec.Struct, frozen=True, gc=False):
    """Something that was asked for before, within `window` seconds of the request."""

    key: str
    window: int


class Claim(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What a request takes and from where: what the scripts read.

    What is None is left out: in the scripts a JSON null would count as true.
    """

    id: str
    at: int
    """`decided_at`, whole seconds since the epoch: Lua prints 14 digits."""
    amount: int
    scopes: tuple[Scope, ...]
    caps: tuple[CapLimit, ...]
    causes: tuple[Cause, ...]
    feed: bool
    """Whether a silent feed of the carrier holds it."""
    marks: tuple[str, ...] = ()
    """What others can know by this request: facts' keys."""
    care: Fact | None = None
    """With this fact a person decides first."""
    proof: Fact | None = None
    """Without this fact it is refused."""
    incident: bool = False
    """Whether an incident at its facility holds it."""
    carrier: str | None = None
    place: str | None = None
    """`carrier/facility`: no carrier's name has a slash."""
    refuse: Reason | None = None
    hold: Reason | None = None
    again: bool = False
    """It was held and its time has come."""
    approved: bool = False
    """A person has seen why it was held and wants it given all the same."""
    state: State | None = None


class Limits:
    """Turns requests into claims by the policies."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies
        # A day's requests share a few budgets, and policies do not change while they are used.
        self._scope = lru_cache(_BUDGETS_AT_HAND)(self._new_scope)

    def claim(self, request: RemedyRequest, *, again: bool = False) -> Claim:
        """Return what a request takes; `again` after it was held."""
        proof, refuse = self._proof(request)
        return Claim(
            id=request.remedy_id,
            at=int(request.decided_at.timestamp()),
            amount=request.amount_minor,
            scopes=tuple(self._scope(key, taken) for key, taken in scopes_of(request)),
            caps=tuple(self._caps(request)),
            causes=self._causes(request),
            carrier=request.carrier,
            place=f"{request.carrier}/{request.facility}" if request.facility else None,
            feed=self._policies.breaker.hold_when_feed_silent,
            incident=self._policies.breaker.hold_in_incident,
            marks=tuple(_marks(request)),
            care=self._care(request),
            proof=proof,
            refuse=request.refuse or refuse,
            hold=None if again else request.hold,
            again=again,
        )

    def account(self, account: Account) -> Claim:
        """Return what an account has taken, in its state."""
        return msgspec.structs.replace(self.claim(account.request), state=account.state)

    def _new_scope(self, key: str, taken: int) -> Scope:
        """Return a budget; one that no policy limits is only kept count of."""
        kind, _, rest = key.partition("/")
        limit, reason = self._budget(kind, rest)
        return Scope(key, taken, UNLIMITED if limit is None else limit, reason)

    def _budget(self, kind: str, rest: str) -> tuple[int | None, Reason]:
        budgets, monthly = self._policies.budgets, len(rest.rpartition("/")[2]) == len("2026-03")
        if kind == "remedies":
            return self._policies.caps.remedies_per_day, Reason.DAY_CAP
        if kind == "global":
            day, month = budgets.global_per_day_minor, budgets.global_per_month_minor
            return month if monthly else day, Reason.BUDGET_GLOBAL
        if kind == "region":
            day, month = budgets.region_per_day_minor, budgets.region_per_month_minor
            return month if monthly else day, Reason.BUDGET_REGION
        return self._campaign(rest), Reason.BUDGET_CAMPAIGN

    def _campaign(self, rest: str) -> int | None:
        name, _, period = rest.partition("/")
        campaign = self._policies.budgets.campaigns.get(name)
        if campaign is None:
            return 0  # it was taken out of the policies: it has nothing left to give
        if not period:
            return campaign.total_minor
        return campaign.per_month_minor if len(period) == len("2026-03") else campaign.per_day_minor

    def _caps(self, request: RemedyRequest) -> Iterator[CapLimit]:
        if request.window_days:
            key = f"again:{request.subject}/{request.decision_reason}"
            seconds = request.window_days * DAY_SECONDS
            yield CapLimit(key, seconds, 1, UNLIMITED, Reason.GIVEN_BEFORE)
        caps = self._policies.caps
        for who, name, cap, why in (
            ("customer", request.customer_id, caps.customer, Reason.CUSTOMER_CAP),
            ("customer-day", request.customer_id, caps.customer_day, Reason.CUSTOMER_CAP),
            ("order", request.order_id, caps.order, Reason.ORDER_CAP),
            ("address", request.address_hash, caps.address, Reason.ADDRESS_CAP),
        ):
            if name is not None and cap is not None:
                seconds = cap.window_days * DAY_SECONDS
                yield CapLimit(f"{who}:{name}", seconds, cap.remedies, cap.amount_minor, why)

    def _causes(self, request: RemedyRequest) -> tuple[Cause, ...]:
        breaker, carrier = self._policies.breaker, request.carrier
        if carrier is None:
            return ()
        window = breaker.window_minutes * 60
        causes = [
            Cause(f"carrier:{carrier}", window, breaker.carrier_requests, Reason.CARRIER_FLOOD)
        ]
        if request.facility:
            key = f"facility:{carrier}/{request.facility}"
            causes.append(Cause(key, window, breaker.facility_requests, Reason.FACILITY_FLOOD))
        return tuple(causes)

    def _care(self, request: RemedyRequest) -> Fact | None:
        """Return what makes a person decide first: the customer is in high care."""
        if request.customer_id is None or request.person_in_high_care is None:
            return None
        return Fact(f"care:{request.customer_id}", self._policies.high_care.days * DAY_SECONDS)

    def _proof(self, request: RemedyRequest) -> tuple[Fact | None, Reason | None]:
        """Return what a complaint has to rest on before it counts for money."""
        if not request.amount_minor or request.kind in OBSERVED_KINDS:
            return None, None
        if request.customer_id is None or request.order_id is None:
            return None, Reason.UNPROVEN_COMPLAINT
        key = _seen(request.customer_id, request.order_id)
        return Fact(key, self._policies.complaints.proof_days * DAY_SECONDS), None


def _marks(request: RemedyRequest) -> Iterator[str]:
    """Yield the facts a request is proof of, whatever becomes of it."""
    if request.customer_id is None:
        return
    if request.kind == Kind.HIGH_CARE:
        yield f"care:{request.customer_id}"
    elif request.kind in OBSERVED_KINDS and request.order_id is not None:
        yield _seen(request.customer_id, request.order_id)


def _seen(customer_id: str, order_id: str) -> str:
    # The customer's length first: no pair of names can be read as another one.
    return f"seen:{len(customer_id)}:{customer_id}/{order_id}"
