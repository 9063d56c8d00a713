"""Strict models of `policies.yaml`: who is given what, within which limits.

A policy list is read from the top; the first rule whose conditions all hold decides. Money is in
minor units (fen, cents) and always an integer. Names are from closed lists wherever there is one,
so a typing error is found by `forewarn check` and not by a customer.
"""

import typing
from typing import Self

from pydantic import model_validator

from configs.condition_schema import CUSTOMER_KINDS, When
from configs.limit_schema import (
    Authority,
    Breaker,
    Budgets,
    Caps,
    Complaints,
    HighCare,
    HoldOut,
    QuietHours,
    Recipients,
)
from configs.remedy_schema import Operations, Remedy
from configs.sections import Currency, Name, Section


class Rule(Section):
    """One line of the list: conditions, and one of `remedy`, `operations` or `nothing: true`."""

    name: Name
    """Stands in the ledger and in metrics."""
    when: When
    """Conditions."""
    remedy: Remedy | None = None
    """What the customer is given."""
    operations: Operations | None = None
    """What operations are told."""
    nothing: typing.Literal[True] | None = None
    """Deliberately nothing."""

    @model_validator(mode="after")
    def _one_outcome(self) -> Self:
        given = [self.remedy, self.operations, self.nothing]
        if sum(outcome is not None for outcome in given) != 1:
            raise ValueError("needs exactly one of remedy, operations and nothing")
        if self.remedy is not None and not set(self.when.kind) <= CUSTOMER_KINDS:
            raise ValueError(
                "a remedy is for decisions about a parcel or a customer, when a stall opens and "
                "not when it worsens"
            )
        if self.when.hold_out and self.remedy is not None and self.remedy.money is not None:
            raise ValueError("customers held out get no money, or the effect cannot be measured")
        return self


class Policies(Section):
    """The whole of `policies.yaml`."""

    currency: Currency
    """ISO 4217, of every amount here."""
    authority: Authority
    budgets: Budgets
    caps: Caps
    breaker: Breaker = Breaker()
    hold_out: HoldOut = HoldOut()
    high_care: HighCare = HighCare()
    complaints: Complaints = Complaints()
    recipients: Recipients = Recipients()
    quiet_hours: QuietHours | None = None
    policies: tuple[Rule, ...]
    """First match wins; what no rule matches is left alone."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [rule.name for rule in self.policies]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two rules are called {twice[0]!r}")
        for rule in self.policies:
            campaign = rule.remedy.campaign if rule.remedy else None
            if campaign is not None and campaign not in self.budgets.campaigns:
                raise ValueError(f"rule {rule.name!r}: no campaign {campaign!r} in budgets")
        return self
