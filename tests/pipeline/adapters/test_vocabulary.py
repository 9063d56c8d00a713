"""Every published value has a meaning; whatever is not published is `other`, and told."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.events import TrackingEvent
from pipeline.adapters.items import Options, Read
from pipeline.adapters.reference import vocabularies
from pipeline.adapters.registry import adapter_of
from pipeline.adapters.table import VOCABULARIES
from pipeline.adapters.vocabulary import M
from tests.pipeline.adapters.published import PUBLISHED, SIZES

VALUES = [(name, code) for name, lists in PUBLISHED.items() for each in lists for code in each]


@pytest.mark.parametrize(("name", "code"), VALUES)
def test_published_value_is_known_and_documented(name: str, code: str) -> None:
    """It is in the table, whether coarse or fine, and on the page."""
    words = VOCABULARIES[name].folded()
    assert words.read(code).unknown is None
    assert words.read(None, code).unknown is None
    assert f"`{code}`" in vocabularies()


@pytest.mark.parametrize("name", SIZES)
def test_lists_are_as_long_as_published(name: str) -> None:
    """Nobody has shortened the lists the tests go by."""
    coarse, fine = PUBLISHED[name]
    assert (len(set(coarse)), len(set(fine))) == SIZES[name]


def test_together_they_say_everything_we_can_hear() -> None:
    """No milestone of ours is out of every vocabulary's reach."""
    assert frozenset(M) == frozenset().union(*(v.says() for v in VOCABULARIES.values()))


@settings(deadline=None)
@given(st.sampled_from(sorted(VOCABULARIES)), st.text(), st.none() | st.text())
def test_any_code_has_a_milestone(name: str, code: str, detail: str | None) -> None:
    """The mapping is total; a value nobody knows comes back, to be counted."""
    meaning = VOCABULARIES[name].folded().read(code, detail)
    assert isinstance(meaning.milestone, M)
    assert meaning.unknown in {None, code, detail}


@pytest.mark.parametrize(
    ("name", "coarse", "fine", "expected"),
    [
        ("aftership", "InTransit", "InTransit_005", M.CUSTOMS_RELEASED),
        ("aftership", "Delivered", "Delivered_003", M.DELIVERED),
        ("aftership", "Exception", "Exception_004", M.CUSTOMS_HELD),
        ("aftership", "AttemptFail", "AttemptFail_002", M.DELIVERY_FAILED),
        ("aftership", "OutForDelivery", "OutForDelivery_001", M.OUT_FOR_DELIVERY),
        ("aftership", "OutForDelivery", "OutForDelivery_004", M.OTHER),
        ("17track", "Departure", "InTransit_Departure", M.DEPARTED),
        ("17track", "Delivered", None, M.DELIVERED),
        ("easypost", "RETURN_TO_SENDER ", "arrived_at_facility", M.RETURNING),
        ("easypost", "pre_transit", "status_update", M.LABEL_CREATED),
        ("easypost", "pre_transit", "unknown", M.LABEL_CREATED),
        ("easypost", "in_transit", "arrived_at_facility", M.ARRIVED),
        ("easypost", "failure", "lost", M.LOST),
        ("shippo", "TRANSIT", "package_departed", M.DEPARTED),
        ("shippo", "UNKNOWN", "other", M.OTHER),
        ("emsevt", "EME", None, M.CUSTOMS_PRESENTED),
        ("emsevt", "EME", "EME + reason", M.CUSTOMS_HELD),
        ("emsevt", "edc", None, M.CUSTOMS_RELEASED),
        ("epcis", "receiving", "damaged", M.DAMAGED),
    ],
)
def test_codes_mean_what_they_say(name: str, coarse: str, fine: str | None, expected: M) -> None:
    """The finer code wins where it says something; case and spaces do not matter."""
    assert VOCABULARIES[name].folded().read(coarse, fine)[:2] == (expected, None)


@pytest.mark.parametrize(
    ("name", "coarse", "fine", "expected"),
    [
        ("aftership", "Delivered", "Delivered_099", (M.DELIVERED, "Delivered_099")),
        ("aftership", "Teleported", None, (M.OTHER, "Teleported")),
        ("easypost", "delivered", "teleported", (M.DELIVERED, "teleported")),
        ("17track", None, None, (M.OTHER, None)),
    ],
)
def test_unknown_values_are_told(
    name: str, coarse: str | None, fine: str | None, expected: tuple[M, str | None]
) -> None:
    """What is known of an event stays; what is not known can be counted."""
    assert VOCABULARIES[name].folded().read(coarse, fine)[:2] == expected


def test_own_values_win() -> None:
    """An operator may know better, also about a value nobody has published."""
    words = VOCABULARIES["aftership"].folded({"InTransit_013": M.DEPARTED, "Zap": M.LOST})
    assert words.read("InTransit", "intransit_013").milestone is M.DEPARTED
    assert words.read("ZAP")[:2] == (M.LOST, None)


def test_some_codes_wait_for_the_customer() -> None:
    """The provider's own, and what an operator adds: a retention reason of EME, for example."""
    words = VOCABULARIES["17track"].folded(awaits=["Exception_Security"])
    assert words.read("InTransit", "InTransit_CustomsRequiringInformation").awaits
    assert words.read("Exception", "exception_security").awaits
    assert not words.read("InTransit", "InTransit_CustomsProcessing").awaits
    held = {"item_id": "RA473124829CN", "event_code": "EME", "office": "DEFRAA",
            "event_gmt_dt": "2026-03-01T12:00:00Z"}  # fmt: skip
    reader = adapter_of("emsevt", Options(awaits=["33"]))
    (paid,) = reader.read(held | {"retention_reason": "33"})
    (searched,) = reader.read(held | {"retention_reason": "40"})
    assert isinstance(paid, Read)
    assert isinstance(searched, Read)
    assert isinstance(paid.event, TrackingEvent)
    assert isinstance(searched.event, TrackingEvent)
    assert paid.event.milestone is searched.event.milestone is M.CUSTOMS_HELD
    assert (paid.event.awaits_customer, searched.event.awaits_customer) == (True, None)
