"""EMSEVT as EDIFACT: the same events as from rows, never one with a part of another."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.events import TrackingEvent
from pipeline.adapters.emsevt import VOCABULARY, check_digit
from pipeline.adapters.items import Item, Options, Read, Rejected
from pipeline.adapters.registry import adapter_of
from tests.pipeline.adapters import conformance

START = datetime(2026, 3, 1, tzinfo=UTC)
CODES = sorted(VOCABULARY.coarse)
EVENTS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from(CODES),
        st.integers(0, 500_000),
        st.sampled_from(["DEFRAA", "CNSZXA", ""]),
        st.sampled_from(["", "42"]),
    ),
    min_size=1,
    max_size=8,
    unique=True,
)
Event = tuple[int, str, int, str, str]


def item(number: int) -> str:
    serial = f"{number:08}"
    return f"RA{serial}{check_digit(serial)}CN"


def segments(event: Event, *, item_first: bool) -> list[str]:
    number, code, minutes, office, reason = event
    at = (START + timedelta(minutes=minutes)).strftime("%Y%m%d%H%M")
    status = [f"STS+1+{code}" + (f"+{reason}" if reason else ""), f"DTM+7:{at}UTC:303"]
    status += [f"LOC+5+{office}"] if office else []
    named = [f"RFF+ITM:{item(number)}"]
    return named + status if item_first else status + named


def interchange(bodies: list[list[str]]) -> bytes:
    """One message a body."""
    out = ["UNB+UNOA:1+CN+DE+260302:0910+7"]
    for count, body in enumerate(bodies, start=1):
        out += [f"UNH+{count}+IFTSTA:D:96B:UN:EMSEVT", "DTM+137:20260302:102", *body]
        out += [f"UNT+{len(body) + 3}+{count}"]
    return "".join(f"{segment}'" for segment in [*out, f"UNZ+{len(bodies)}+7"]).encode()


def rows(events: list[Event]) -> list[dict[str, object]]:
    """The same as rows."""
    return [
        {"item_id": item(number), "event_code": code, "office": office,
         "event_gmt_dt": (START + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:00Z"),
         "retention_reason": reason}
        for number, code, minutes, office, reason in events
    ]  # fmt: skip


def read(document: bytes) -> list[Item]:
    return list(adapter_of("emsevt", Options()).read(document))


def by_rows(events: list[Event]) -> list[Item]:
    adapter = adapter_of("emsevt", Options())
    return [each for row in rows(events) for each in adapter.read(row)]


@settings(deadline=None)
@given(events=EVENTS, item_first=st.booleans(), together=st.booleans())
def test_a_message_is_read_as_its_rows_are(
    events: list[Event], item_first: bool, together: bool
) -> None:
    """Event by event, ids included, so a post's file and its messages yield each scan once."""
    groups = [segments(event, item_first=item_first) for event in events]
    bodies = [[each for group in groups for each in group]] if together else groups
    assert read(interchange(bodies)) == by_rows(events)


@settings(deadline=None, max_examples=30)
@given(events=EVENTS, data=st.data())
def test_a_message_cut_off_gives_whole_messages_or_nothing(
    events: list[Event], data: st.DataObject
) -> None:
    """What comes out of the part of an interchange are its first messages' events, all right."""
    document = interchange([segments(event, item_first=True) for event in events])
    part = document[: data.draw(st.integers(0, len(document) - 2))]
    found = read(part)
    good = [each for each in found if isinstance(each, Read)]
    assert good == by_rows(events)[: len(good)]
    assert isinstance(found[-1], Rejected) or not part.strip()


@settings(deadline=None, max_examples=60)
@given(lines=st.lists(st.sampled_from(
    ["STS+1+EMC", "STS+1+EME+42", "STS+1", "DTM+7:202603021200UTC:303", "DTM+7:20260302:102",
     "LOC+5+DEFRAA", f"RFF+ITM:{item(1)}", f"GID+1+{item(2)}", "NAD+CN+++JANE ROE", "XYZ"]
), max_size=9))  # fmt: skip
def test_any_order_of_segments_is_whole_or_refused(lines: list[str]) -> None:
    """Segments in any order: each event has its code and its time, or there is a reason."""
    for each in read(interchange([lines])):
        if isinstance(each, Read):
            assert isinstance(each.event, TrackingEvent)
            assert each.event.occurred_at == datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (["STS+1+EMC", "DTM+7:202603021200:203"], "no_parcel"),
        ([f"RFF+ITM:{item(1)}", "DTM+7:202603021200:203"], "no_status"),
        ([f"RFF+ITM:{item(1)}", "STS+1+EMC"], "no_time"),
        ([f"RFF+ITM:{item(1)}", "STS+1+EMC", "DTM+7:20260302:102"], "unreadable_time"),
        ([f"RFF+ITM:{item(1)}", "STS+1+EMC", "DTM+7:202603021200EST:303"], "no_zone"),
        ([f"RFF+ITM:{item(1)}", "STS+1+EMC", "DTM+7:202603021200:203"], "no_zone"),
        ([f"RFF+ITM:{item(1)}", "STS+1+EMC", "LOC+5+DEFRAA", "LOC+5+DEBERB"], "wrong_shape"),
        (["RFF+ITM:RA473124828CN", "STS+1+EMC", "DTM+7:202603021200UTC:303"], "no_parcel"),
    ],
)
def test_half_an_event_is_refused_with_its_reason(body: list[str], reason: str) -> None:
    """Something is missing, twice, or wrong."""
    (found,) = read(interchange([body]))
    assert isinstance(found, Rejected)
    assert str(found.reason) == reason


def test_interchange_and_table_of_the_conformance_folder_agree() -> None:
    """The same scans under the same ids."""
    folder: Path = conformance.FOLDER / "emsevt"
    table = {json["event_id"] for json in conformance.expected(folder / "import_customs.csv")}
    message = {json["event_id"] for json in conformance.expected(folder / "interchange.edi")}
    assert message < table
