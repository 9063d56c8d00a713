"""What customers read: facts, apology first, nothing that is not given, nothing that does harm."""

import html.parser
import itertools
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.load import SHIPPED, load_config
from configs.problems import ConfigError
from configs.remedy_schema import FollowUp, Form, Upgrade
from configs.texts import FOLDER, LANGUAGES, load_texts
from pipeline.facts import facts_of
from pipeline.remedies import RemedyRequest
from pipeline.wording import MAX_SUBJECT_CHARACTERS, UnfitText, Wording, unknown_names
from sinks.letters import Letter, as_html, as_text
from tests.pipeline.delivering import NOON, stall
from tests.pipeline.test_policy import asked

TEXTS = load_config().texts
WORDING = Wording(TEXTS)
PROMISES = {
    "money": re.compile(r"¥|coupon|refund|优惠券|退款"),
    "express": re.compile(r"express|加急"),
    "priority_clearance": re.compile(r"priority|优先清关"),
    "agent": re.compile(r"\bagent\b|one person|专属客服", re.IGNORECASE),
}


def like(**changes: Any) -> RemedyRequest:
    known = {"eta_p50_at": NOON + timedelta(days=2), "eta_p90_at": NOON + timedelta(days=5)}
    return msgspec.structs.replace(asked(stall(1)), **(known | changes))


def letters(request: RemedyRequest) -> list[Letter]:
    return list(WORDING.write(request).values())


def test_a_letter_says_what_happened_what_is_done_and_what_is_given() -> None:
    """Where the parcel is, since when, when it comes, in the recipient's time and language."""
    english, chinese = (as_text(letter) for letter in letters(like()))
    for said in ("P1 with swift", "hub-1", "1 Mar, 04:00", "between 4 Mar and 7 Mar", "express",
                 "¥5", "30 days"):  # fmt: skip
        assert said in english
    for said in ("P1（swift）", "hub-1", "3月1日 04:00", "3月4日 至 3月7日", "加急", "¥5", "30 天"):
        assert said in chinese


@pytest.mark.parametrize("name", sorted(TEXTS.names))
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_says_what_is_given_and_nothing_else(name: str, language: str) -> None:
    """Whatever is known and whatever is given, no text lacks a fact or promises a gift."""
    for money, upgrade, follow_up, known in itertools.product(
        (None, Form.COUPON, Form.REFUND), Upgrade, FollowUp, (True, False)
    ):
        request = like(
            amount_minor=500 if money else 0,
            form=money or Form.COUPON,
            upgrade=upgrade,
            follow_up=follow_up,
            follow_up_due_at=None if follow_up is FollowUp.NONE else NOON,
            promised_at=NOON if known else None,
            **({} if known else {"eta_p50_at": None, "since_at": None, "facility": None}),
        )
        letter = WORDING.letter(name, language, facts_of(request, language))
        said = letter.subject + "\n" + as_text(letter)
        assert "None" not in said
        assert "{" not in said
        assert len(letter.subject) <= MAX_SUBJECT_CHARACTERS
        given_ = {
            "money": money is not None,
            "express": upgrade is Upgrade.EXPRESS,
            "priority_clearance": upgrade is Upgrade.PRIORITY_CLEARANCE,
            "agent": follow_up is not FollowUp.NONE,
        }
        for what, words in PROMISES.items():
            assert bool(words.search(said)) is given_[what], (what, said)


@pytest.mark.parametrize("form", [Form.COUPON, Form.REFUND])
def test_the_apology_comes_first_and_the_money_last(form: Form) -> None:
    """It is a message about an order and not an advertisement."""
    for letter, sorry in zip(letters(like(form=form)), ("sorry", "抱歉"), strict=True):
        for said in (as_text(letter), as_html(letter, "en").split("</h1>")[1]):
            assert said.index(sorry) < said.index("hub-1") < said.index("¥5")


class Tags(html.parser.HTMLParser):
    """Names and attributes of all tags, and the text between them."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7*7 }}", "{% raw %}",
    "{{ ''.__class__.__mro__ }}", "a\r\nBcc: all@x.example", "\u202egnp.exe", "=cmd|' /C calc'!A0",
    "\x1b[31m", "&lt;b&gt;", "</td></table><h1>free money</h1>", "x" * 5000, "\ud800", "${7*7}",
]  # fmt: skip


@settings(max_examples=60)
@given(value=st.sampled_from(HOSTILE) | st.text(max_size=50), field=st.sampled_from(
    ["parcel_id", "carrier", "facility", "region"]))  # fmt: skip
def test_hostile_values_do_nothing(value: str, field: str) -> None:
    """The same tags as with a harmless value, the value as text or not at all, one line."""
    request = like(**{field: value, **({"facility": None} if field == "region" else {})})
    plain = like(**{field: "x", **({"facility": None} if field == "region" else {})})
    for letter, harmless in zip(letters(request), letters(plain), strict=True):
        document = Tags(as_html(letter, "en"))
        wanted = Tags(as_html(harmless, "en")).tags
        if letter.rows and len(letter.rows) == len(harmless.rows):
            assert document.tags == wanted
        assert "49" not in as_text(letter).replace(value, "")
        assert all("\n" not in part and "\r" not in part for row in letter.rows for part in row)
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x1b]", as_text(letter))


def test_html_has_nothing_from_outside() -> None:
    """No script, link, image or style sheet: it reads the same everywhere and tells nobody."""
    for letter in letters(like()):
        document = as_html(letter, "zh")
        assert not {tag for tag, _ in Tags(document).tags} & {
            "script",
            "a",
            "img",
            "link",
            "iframe",
        }
        assert not re.search(r"https?:|url\(|\son[a-z]+=", document)
        assert len(document) < 10_000


def own(folder: Path, english: str) -> Wording:
    folder.mkdir(exist_ok=True)
    for language in LANGUAGES:
        (folder / f"mine.{language}.txt").write_text(english, "utf-8")
    return Wording(load_texts(SHIPPED / FOLDER, folder))


@pytest.mark.parametrize(
    "source",
    [
        "Subject\nHello {{ parcl }}",
        "Subject\nUntil {{ promised }}",
        "Subject\n{{ ''.__class__ }}",
        "Subject\n{{ parcel.__init__.__globals__ }}",
        "Subject\n{% for i in range(10**9) %}x{% endfor %}",
        "Subject\n{{ 1 / 0 }}",
        "Subject\n{% include '/etc/passwd' %}",
        "Subject {{",
        "Subject only",
        "\n\n",
        "x" * 79 + "\ntext",
        "Subject\n" + "word " * 300,
    ],
)
def test_texts_that_cannot_be_said(tmp_path: Path, source: str) -> None:
    """An error that names the text; the customer gets the plainest apology instead."""
    wording = own(tmp_path / "mine", source)
    request = like(template="mine", promised_at=None)
    with pytest.raises(UnfitText, match=r"mine\.en"):
        wording.letter("mine", "en", facts_of(request, "en"))
    written = wording.write(request)
    assert written["zh"].subject == WORDING.write(like(template="apology"))["zh"].subject


def test_unknown_names_are_found_with_their_lines() -> None:
    """Facts, loops and settings of the text itself are known."""
    source = "{{ parcel }}\n{% set x = 1 %}{{ x }}\n{% if parsel %}{% endif %}{{ amout }}"
    assert sorted(unknown_names(source)) == [(3, "amout"), (3, "parsel")]


def test_a_text_in_one_language_only_is_an_error(tmp_path: Path) -> None:
    """Nobody is told in a language they were not meant to read."""
    (tmp_path / "mine.en.txt").write_text("a\nb", "utf-8")
    (tmp_path / "mine.fr.txt").write_text("a\nb", "utf-8")
    (tmp_path / "words.en.yaml").write_text("hello: Hi\nbye: [\n", "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_texts(SHIPPED / FOLDER, tmp_path)
    said = "\n".join(map(str, caught.value.problems))
    assert "there is no mine.zh.txt beside it" in said
    assert "mine.fr.txt: no text" in said
    assert "words.en.yaml" in said


def test_the_text_of_a_letter_is_blocks_with_an_empty_line_between() -> None:
    """Each part only if it is there; a mail's signature begins with two dashes."""
    plain = Letter(subject="S", hello="Hello,", paragraphs=("One.", "Two."), bye="Bye", footer="F.")
    assert as_text(plain) == "Hello,\n\nOne.\n\nTwo.\n\nBye\n\n--\nF.\n"
    full = msgspec.structs.replace(
        plain,
        paragraphs=("One.",),
        rows=(("Parcel", "P1"), ("Place", "hub")),
        doing_title="Doing",
        doing=("this", "that"),
        gift_title="Coupon",
        amount="¥5",
        gift_text="Valid.",
    )
    assert as_text(full) == (
        "Hello,\n\nOne.\n\nParcel: P1\nPlace: hub\n\nDoing\n- this\n- that\n\n"
        "Coupon: ¥5\nValid.\n\nBye\n\n--\nF.\n"
    )


def test_phrases_at_hand_are_those_of_these_facts() -> None:
    """What was written for one customer changes no word of the next one's letter."""
    requests = [
        like(parcel_id=parcel, carrier=carrier, amount_minor=amount, upgrade=upgrade)
        for parcel, carrier, amount, upgrade in itertools.product(
            ("P1", "P2"), ("swift", None), (0, 500, 800), Upgrade
        )
    ]
    used = Wording(TEXTS)
    for request in requests * 2:
        assert used.write(request) == Wording(TEXTS).write(request)
