"""Texts and words of the configuration, filled with the facts of a remedy: letters to customers.

Jinja2 in its immutable sandbox. A name that is no fact is an error, and so is a fact that is not
known where a text would say it: `forewarn check` finds both before a customer does. Values are put
in as they are and never read as templates themselves. The apology comes first, then the facts,
then what is done, and the money last: it is a message about an order, not an advertisement.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
import structlog
from jinja2 import StrictUndefined, Template, TemplateError, UndefinedError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from configs.texts import LANGUAGES, Texts
from pipeline.facts import FIELDS, Facts, facts_of
from pipeline.remedies import RemedyRequest
from sinks.letters import Letter

_LOG: Final = structlog.get_logger(__name__)
MAX_SUBJECT_CHARACTERS: Final = 78
"""A line of a mail (RFC 5322, 2.1.1), and about what a phone shows of it."""
MAX_TEXT_CHARACTERS: Final = 1200
"""Of its paragraphs: who is sorry does not go on for long."""
_SOURCES_AT_HAND: Final = 1024
_PHRASES_AT_HAND: Final = 8192
FALLBACK: Final = "apology"
"""Said where the wanted text cannot be: it needs no facts."""


class UnfitText(ValueError):
    """A text that cannot be sent as it is: the message says why."""


class Wording:
    """Writes letters.

    Parameters
    ----------
    texts
        Texts and words.
    """

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._template = lru_cache(_SOURCES_AT_HAND)(_compiled)
        self._rendered = lru_cache(_PHRASES_AT_HAND)(self._render)

    def write(self, request: RemedyRequest) -> dict[str, Letter]:
        """Return a remedy's letter in every language; the plainest text where its own is unfit."""
        letters = {}
        for language in LANGUAGES:
            facts = facts_of(request, language)
            try:
                letters[language] = self.letter(request.template, language, facts)
            except UnfitText as error:
                _LOG.error("a text cannot be said", remedy=request.remedy_id, cause=str(error))
                letters[language] = self.letter(FALLBACK, language, facts)
        return letters

    def letter(self, name: str, language: str, facts: Facts) -> Letter:
        """Return one text with these facts; raises `UnfitText`."""
        try:
            source = self._texts.source(name, language)
            letter = self._letter(source, language, facts)
        except KeyError as error:
            raise UnfitText(f"there is no text {name!r} in {language}") from error
        except (TemplateError, ArithmeticError, TypeError, ValueError) as error:
            raise UnfitText(f"{name}.{language}: {error}") from error
        _require_fit(f"{name}.{language}", letter)
        return letter

    def _letter(self, source: str, language: str, facts: Facts) -> Letter:
        values = msgspec.structs.asdict(facts)
        subject, _, rest = self._filled(source, values).strip().partition("\n")
        paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", rest))

        def say(key: str) -> str:
            return self._filled(self._texts.words[language][key], values)

        gift = "refund" if facts.refund else "coupon"
        given = facts.amount is not None
        doing = tuple(say(key) for key in _DONE if getattr(facts, key))
        return Letter(
            subject=" ".join(subject.split()),
            hello=say("hello"),
            paragraphs=tuple(each for each in paragraphs if each),
            rows=tuple((say(key), self._value(key, facts, say)) for key in _known(facts)),
            doing_title=say("doing") if doing else "",
            doing=doing,
            gift_title=say(gift) if given else "",
            amount=facts.amount or "",
            gift_text=say(f"{gift}_value") if given else "",
            bye=say("bye"),
            footer=say("footer"),
        )

    def _value(self, key: str, facts: Facts, say: Any) -> str:
        return str(say(f"{key}_value") if key in {"parcel", "eta"} else getattr(facts, key))

    def _filled(self, source: str, values: Mapping[str, Any]) -> str:
        # Most phrases are plain words, or name facts that many remedies of an hour share; every
        # remedy is written in two languages.
        if "{" not in source:
            return source
        _, names = self._template(source)
        return self._rendered(source, *(values[name] for name in names))

    def _render(self, source: str, *values: Any) -> str:
        template, names = self._template(source)
        return template.render(zip(names, values, strict=True))


def _compiled(source: str) -> tuple[Template, tuple[str, ...]]:
    """Return a template and the facts it names."""
    tree = _ENVIRONMENT.parse(source)
    names = {each.name for each in tree.find_all(nodes.Name)}
    return _ENVIRONMENT.from_string(source), tuple(sorted(names & {*FIELDS}))


_DONE: Final = ("express", "priority_clearance", "agent")


def _known(facts: Facts) -> list[str]:
    """Return the rows there are, in the order a reader asks; none without a parcel."""
    rows = {
        "parcel": facts.parcel,
        "place": facts.place,
        "since": facts.since,
        "eta": facts.eta_from,
    }
    return [key for key, value in rows.items() if value is not None] if facts.parcel else []


def _require_fit(name: str, letter: Letter) -> None:
    if not letter.subject or not letter.paragraphs:
        raise UnfitText(f"{name}: subject or text is empty")
    for what, found, most in (
        ("subject", len(letter.subject), MAX_SUBJECT_CHARACTERS),
        ("text", sum(map(len, letter.paragraphs)), MAX_TEXT_CHARACTERS),
    ):
        if found > most:
            raise UnfitText(f"{name}: the {what} has {found} characters; at most {most}")


def _said(value: Any) -> Any:
    if value is None:
        raise UndefinedError("it says a fact that is not known; put it into {% if … %}")
    return value


_ENVIRONMENT: Final = ImmutableSandboxedEnvironment(
    autoescape=False, undefined=StrictUndefined, finalize=_said
)


def unknown_names(source: str) -> list[tuple[int, str]]:
    """Return names of a template that are no facts, with their lines; raises `TemplateError`."""
    names = list(_ENVIRONMENT.parse(source).find_all(nodes.Name))
    own = {each.name for each in names if each.ctx in {"store", "param"}}
    return [
        (each.lineno, each.name)
        for each in names
        if each.ctx == "load" and each.name not in {*FIELDS, *own}
    ]
