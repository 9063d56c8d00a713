"""What is wrong with policies that are well-formed: each with file, line and field.

Errors are what can never work as written (a rule nothing reaches, an amount no budget allows,
another currency, a text that cannot be said); warnings are what may be meant (rules that share
decisions, amounts a person has to grant each time).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from jinja2 import TemplateError

from configs.load import Config
from configs.policy_schema import Rule
from configs.problems import Location, Problem, dotted, nearest
from configs.remedy_schema import Form
from configs.texts import LANGUAGES
from pipeline.facts import FIELDS, facts_of
from pipeline.overlaps import atoms, covers, meets, missing_fields
from pipeline.policy import approver
from pipeline.samples import sample_request
from pipeline.wording import UnfitText, Wording, unknown_names
from sinks.letters import Letter, as_text

_PROMISES: Final = {
    "money": re.compile(
        r"[¥€$£]\s?\d|\bcoupon|\bvoucher|\brefund|优惠券|代金券|退款", re.IGNORECASE
    ),
    "upgrade: express": re.compile(r"\bexpress\b|加急|特快", re.IGNORECASE),
    "upgrade: priority_clearance": re.compile(r"\bpriority clearance|优先清关", re.IGNORECASE),
    "follow_up: dedicated_agent": re.compile(r"\bdedicated\b|专属客服", re.IGNORECASE),
}
"""Words by which a text promises what a rule may not give."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found."""

    errors: list[Problem]
    warnings: list[Problem]


def find(config: Config) -> Findings:
    """Look at all rules of a configuration."""
    linter = _Linter(config)
    return Findings(list(linter.errors()), list(linter.warnings()))


class _Linter:
    def __init__(self, config: Config) -> None:
        self._config, self._policies = config, config.policies
        self._rules = config.policies.policies
        self._wording = Wording(config.texts)

    def errors(self) -> Iterator[Problem]:
        for index, rule in enumerate(self._rules):
            yield from self._impossible(index, rule)
            yield from self._unreachable(index, rule)
            yield from self._unpayable(index, rule)
            yield from self._currency(index, rule)
            yield from self._unfit(index, rule)
        for name, campaign in self._policies.budgets.campaigns.items():
            location = ("budgets", "campaigns", name, "currency")
            yield from self._other_currency(campaign.currency, location)
        yield from self._templates()

    def warnings(self) -> Iterator[Problem]:
        for index, rule in enumerate(self._rules):
            yield from self._overlaps(index, rule)
            yield from self._beyond_authority(index, rule)

    def _problem(self, location: Location, said: str, meant: str | None = None) -> Problem:
        file, line = self._config.source.place(location)
        return Problem(file, line, dotted(location), said, meant)

    # ------------------------------------------------------------------ conditions

    def _impossible(self, index: int, rule: Rule) -> Iterator[Problem]:
        missing = [missing_fields(rule.when, kind) for kind in rule.when.kind]
        for condition in missing[0]:
            if all(condition in each for each in missing):
                kinds = ", ".join(rule.when.kind)
                yield self._problem(
                    ("policies", index, "when", condition), f"no decision of {kinds} has this"
                )

    def _unreachable(self, index: int, rule: Rule) -> Iterator[Problem]:
        """Find a rule all of whose kinds and reasons earlier rules take whole."""
        wanted = list(atoms(rule.when))
        takers = {
            atom: next(
                (
                    earlier.name
                    for earlier in self._rules[:index]
                    if atom in set(atoms(earlier.when)) and covers(earlier.when, rule.when)
                ),
                None,
            )
            for atom in wanted
        }
        if wanted and all(takers.values()):
            names = ", ".join(dict.fromkeys(name for name in takers.values() if name))
            yield self._problem(
                ("policies", index, "when"), f"never reached: {names} matches all of it before"
            )

    def _overlaps(self, index: int, rule: Rule) -> Iterator[Problem]:
        """Find earlier rules that take a part, where neither is the more special one."""
        for earlier in self._rules[:index]:
            shared = sorted(set(atoms(earlier.when)) & set(atoms(rule.when)))
            if not shared or not meets(earlier.when, rule.when):
                continue
            special = covers(rule.when, earlier.when) or covers(earlier.when, rule.when)
            if special or _outcome(earlier) == _outcome(rule):
                continue
            kind, reason = shared[0]
            yield self._problem(
                ("policies", index, "when"),
                f"overlaps {earlier.name}, which comes first and wins, e.g. {kind} {reason}",
            )

    # ------------------------------------------------------------------ money

    def _money(self, rule: Rule) -> tuple[str, int] | None:
        remedy = rule.remedy
        if remedy is None or remedy.money is None:
            return None
        return ("refund" if remedy.refund else "coupon"), remedy.money.amount_minor

    def _unpayable(self, index: int, rule: Rule) -> Iterator[Problem]:
        found = self._money(rule)
        if found is None or rule.remedy is None:
            return
        form, amount = found
        budgets, caps = self._policies.budgets, self._policies.caps
        campaign = budgets.campaigns.get(rule.remedy.campaign or "")
        limits = {
            "budgets.global_per_day_minor": budgets.global_per_day_minor,
            "budgets.global_per_month_minor": budgets.global_per_month_minor,
            "budgets.region_per_day_minor": budgets.region_per_day_minor,
            "budgets.region_per_month_minor": budgets.region_per_month_minor,
            "the campaign's total_minor": campaign.total_minor if campaign else None,
            "the campaign's per_day_minor": campaign.per_day_minor if campaign else None,
            "the campaign's per_month_minor": campaign.per_month_minor if campaign else None,
            "caps.customer.amount_minor": caps.customer.amount_minor,
            "caps.order.amount_minor": caps.order.amount_minor,
            "caps.customer_day.amount_minor": (
                caps.customer_day.amount_minor if caps.customer_day else None
            ),
            "caps.address.amount_minor": caps.address.amount_minor if caps.address else None,
        }
        for name, limit in limits.items():
            if limit is not None and amount > limit:
                said = f"can never be given: {amount} is above {name} ({limit})"
                location = ("policies", index, "remedy", form, "amount_minor")
                yield self._problem(location, said)

    def _beyond_authority(self, index: int, rule: Rule) -> Iterator[Problem]:
        found = self._money(rule)
        if found is None:
            return
        form, amount = found
        authority = self._policies.authority
        person = approver(amount, Form(form), authority)
        limit = authority.automatic_minor if form == "coupon" else authority.refund_minor
        if person is not None and amount > limit:
            location = ("policies", index, "remedy", form, "amount_minor")
            said = f"beyond authority ({limit}): the {str(person).replace('_', ' ')} decides each"
            yield self._problem(location, said)

    def _currency(self, index: int, rule: Rule) -> Iterator[Problem]:
        if rule.remedy is not None and rule.remedy.money is not None:
            form = "refund" if rule.remedy.refund else "coupon"
            location = ("policies", index, "remedy", form, "currency")
            yield from self._other_currency(rule.remedy.money.currency, location)

    def _other_currency(self, currency: str | None, location: Location) -> Iterator[Problem]:
        if currency is not None and currency != self._policies.currency:
            said = f"{currency} is another currency than the budgets' ({self._policies.currency})"
            yield self._problem(location, said)

    # ------------------------------------------------------------------ texts

    def _templates(self) -> Iterator[Problem]:
        """Find names that are no facts, in every text there is."""
        texts = self._config.texts
        for name, source in texts.sources.items():
            if not name.endswith(".txt"):
                continue
            try:
                unknown = unknown_names(source)
            except TemplateError as error:
                line = getattr(error, "lineno", None)
                yield Problem(str(texts.paths[name]), line, "", f"cannot be read: {error.message}")
                continue
            for line, field in unknown:
                said = f"no such fact; known: {', '.join(FIELDS)}"
                yield Problem(str(texts.paths[name]), line, field, said, nearest(field, FIELDS))

    def _unfit(self, index: int, rule: Rule) -> Iterator[Problem]:
        """Find what a rule's text cannot say, or promises and the rule does not give."""
        remedy = rule.remedy
        if remedy is None:
            return
        given = {
            "money": remedy.money is not None,
            **{f"upgrade: {up}": remedy.upgrade == up for up in ("express", "priority_clearance")},
            "follow_up: dedicated_agent": remedy.follow_up == "dedicated_agent",
        }
        said: dict[str, None] = {}
        for language in LANGUAGES:
            for known in (True, False):
                request = sample_request(rule, self._policies, known=known)
                try:
                    facts = facts_of(request, language)
                    letter = self._wording.letter(remedy.template, language, facts)
                except UnfitText as error:
                    said[str(error)] = None
                    continue
                said |= dict.fromkeys(_promised(letter, given, f"{remedy.template}.{language}"))
        for text in said:
            yield self._problem(("policies", index, "remedy", "template"), text)


def _outcome(rule: Rule) -> object:
    return rule.remedy or rule.operations or rule.nothing


def _promised(letter: Letter, given: dict[str, bool], name: str) -> Iterator[str]:
    words = f"{letter.subject}\n{as_text(letter)}"
    for what, pattern in _PROMISES.items():
        found = pattern.search(words)
        if found is not None and not given[what]:
            yield f"{name} promises {found[0]!r}, but the rule gives no {what}"
