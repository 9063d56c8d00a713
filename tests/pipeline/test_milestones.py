from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.events import Milestone
from pipeline.milestones import Vocabulary, codes, is_known, milestone

SIZES = {
    Vocabulary.AFTERSHIP: 9,
    Vocabulary.TRACK17: 9 + 30 - 1,  # InfoReceived is both a status and its own sub-status
    Vocabulary.EASYPOST: 10,
    Vocabulary.EMSEVT: 25,
    Vocabulary.EPCIS: 41,
}


@pytest.mark.parametrize("vocabulary", Vocabulary)
def test_every_published_code_is_in_the_table(vocabulary: Vocabulary) -> None:
    """The tables are as long as what is published (AfterShip: its tags)."""
    main = [c for c in codes(vocabulary) if vocabulary != Vocabulary.AFTERSHIP or "_" not in c]
    assert len(main) == SIZES[vocabulary]
    assert all(is_known(vocabulary, code) for code in codes(vocabulary))


@given(st.sampled_from(Vocabulary), st.text(), st.none() | st.text())
def test_any_code_has_a_milestone(vocabulary: Vocabulary, code: str, detail: str | None) -> None:
    """The mapping is total; what is not known is `other`, and can be counted."""
    found = milestone(vocabulary, code, detail)
    if not is_known(vocabulary, code) and not (detail and is_known(vocabulary, detail)):
        assert found is Milestone.OTHER


def test_together_they_say_everything_we_can_hear() -> None:
    """No milestone of ours is out of every vocabulary's reach."""
    heard = Counter(found for vocabulary in Vocabulary for found in codes(vocabulary).values())
    assert set(heard) == set(Milestone)


@pytest.mark.parametrize(
    ("vocabulary", "code", "detail", "expected"),
    [
        (Vocabulary.AFTERSHIP, "InTransit", "InTransit_005", Milestone.CUSTOMS_RELEASED),
        (Vocabulary.AFTERSHIP, "InTransit", "InTransit_999", Milestone.OTHER),
        (Vocabulary.AFTERSHIP, "Delivered", "Delivered_003", Milestone.DELIVERED),
        (Vocabulary.AFTERSHIP, "Exception", "Exception_004", Milestone.CUSTOMS_HELD),
        (Vocabulary.AFTERSHIP, "AttemptFail", "AttemptFail_002", Milestone.DELIVERY_FAILED),
        (Vocabulary.AFTERSHIP, "OutForDelivery", "OutForDelivery_004", Milestone.OTHER),
        (Vocabulary.TRACK17, "InTransit", "InTransit_CustomsProcessing",
         Milestone.CUSTOMS_PRESENTED),
        (Vocabulary.TRACK17, "Delivered", None, Milestone.DELIVERED),
        (Vocabulary.EASYPOST, "RETURN_TO_SENDER ", None, Milestone.RETURNING),
        (Vocabulary.EMSEVT, "EME", None, Milestone.CUSTOMS_HELD),
        (Vocabulary.EMSEVT, "edc", None, Milestone.CUSTOMS_RELEASED),
        (Vocabulary.EPCIS, "https://ref.gs1.org/cbv/BizStep-departing", None, Milestone.DEPARTED),
        (Vocabulary.EPCIS, "urn:epcglobal:cbv:bizstep:receiving", None, Milestone.ARRIVED),
    ],
)  # fmt: skip
def test_codes_mean_what_they_say(
    vocabulary: Vocabulary, code: str, detail: str | None, expected: Milestone
) -> None:
    """The finer code wins where it is known; case and spelling of the term do not matter."""
    assert milestone(vocabulary, code, detail) is expected
