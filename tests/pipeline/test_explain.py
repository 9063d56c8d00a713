"""A flagged parcel's story: scans, complaints, decisions with evidence, remedies."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from configs.load import load_config
from detectors.decisions import Evidence, StallOpened, StallReason
from detectors.events import Complaint, Milestone, TrackingEvent
from pipeline import cli
from pipeline.explain import Story, money, render, timeline
from pipeline.ledger import RemedyEntry, State, encode_entry
from pipeline.policy import judge
from pipeline.remedies import Reason, RemedyRequest

MONDAY = datetime(2026, 3, 2, 8, tzinfo=UTC)


def scan(number: int, parcel: str = "P1", carrier: str = "swift") -> bytes:
    return msgspec.json.encode(
        TrackingEvent(
            event_id=f"e{number}",
            parcel_id=parcel,
            carrier=carrier,
            milestone=Milestone.PICKED_UP if number == 0 else Milestone.DEPARTED,
            occurred_at=MONDAY + timedelta(hours=number),
            facility="hub-1",
        )
    )


def opened(parcel: str = "P1") -> StallOpened:
    return StallOpened(
        decision_id=f"d-{parcel}",
        episode_id=f"d-{parcel}",
        subject=f"parcel/swift/{parcel}",
        decided_at=MONDAY + timedelta(hours=30),
        evidence=Evidence(
            text="No scan for 29 h after departure.",
            unit="seconds",
            observed=29 * 3600.0,
            segment="swift",
            observations=500,
            model="dwell/1",
            config="abc",
        ),
        parcel_id=parcel,
        carrier="swift",
        milestone=Milestone.DEPARTED,
        occurred_at=MONDAY + timedelta(hours=1),
        customer_id="C1",
        reason=StallReason.NO_MOVEMENT,
    )


def request(parcel: str = "P1") -> RemedyRequest:
    wish = judge(opened(parcel), load_config().policies)
    assert isinstance(wish, RemedyRequest)
    return wish


def entries(parcel: str, *states: tuple[State, Reason | None]) -> list[bytes]:
    """Ledger entries of one remedy, the first with its request."""
    wish = request(parcel)
    return [
        encode_entry(
            RemedyEntry(
                remedy_id=wish.remedy_id,
                state=state,
                at=MONDAY,
                reason=reason,
                request=wish if number == 0 else None,
            )
        )
        for number, (state, reason) in enumerate(states)
    ]


def complaint() -> bytes:
    return msgspec.json.encode(
        Complaint(
            complaint_id="k1",
            customer_id="C1",
            occurred_at=MONDAY + timedelta(hours=50),
            region="Hubei",
            parcel_id="P1",
            carrier="swift",
            issue="late_delivery",
        )
    )


@pytest.mark.parametrize("name", ["swift/P1", "P1"])
def test_the_story_is_in_order_of_time(name: str) -> None:
    """Scans, the decision with its evidence, what was given, and the complaint that came later."""
    story = Story(name)
    for line in (scan(1), scan(0), scan(2, parcel="P11"), scan(3, carrier="tidal", parcel="P2")):
        story.see_scan(line)
    for decision in (opened(), opened("P11")):
        story.see_decision(msgspec.json.encode(decision))
    story.see_complaint(complaint())
    issued = ((State.RESERVED, None), (State.ISSUED, None))
    for line in [*entries("P1", *issued), *entries("P11", (State.REFUSED, Reason.HOLD_OUT))]:
        story.see_entry(line)
    assert render(name, timeline(story)) == [
        f"Parcel {name}",
        "  2026-03-02 08:00    picked up at hub-1",
        "  2026-03-02 09:00    departed at hub-1",
        "  2026-03-03 14:00  * stall.opened: no movement",
        "                      No scan for 29 h after departure.",
        "  2026-03-03 14:00  + given: stall apology, coupon of ¥5.00, express",
        "  2026-03-04 10:00  ! the customer complained: late_delivery",
    ]


def test_a_refused_remedy_says_why() -> None:
    """Who was given nothing is told the reason."""
    story = Story("P1")
    for line in entries("P1", (State.REFUSED, Reason.EPISODE_OVER)):
        story.see_entry(line)
    (moment,) = timeline(story)
    assert moment.text.startswith("refused (episode over): stall apology")


def test_an_unreadable_scan_is_no_part_of_the_story() -> None:
    """A dead letter that holds the parcel's name does not stop the story."""
    story = Story("P1")
    for line in (b'{"parcel_id": "P1"', b'{"parcel_id": "P1", "carrier": "swift"}', scan(0)):
        story.see_scan(line)
        story.see_complaint(line)
    assert len(timeline(story)) == 1


def test_another_carriers_parcel_of_the_same_number_is_another() -> None:
    """`carrier/parcel_id` names one parcel."""
    story = Story("tidal/P1")
    story.see_scan(scan(0))
    assert render("tidal/P1", timeline(story)) == ["Nothing is known of tidal/P1."]


def test_money_for_people() -> None:
    """Minor units are written as an amount."""
    assert money(500, "CNY") == "¥5.00"


def test_the_command_reads_files(tmp_path: Path) -> None:
    """Plain and compressed files give the same story, for people and programs."""
    decisions = tmp_path / "decisions.ndjson"
    decisions.write_bytes(msgspec.json.encode(opened()) + b"\n")
    tracking = tmp_path / "tracking.ndjson.gz"
    tracking.write_bytes(gzip.compress(scan(0) + b"\n" + scan(1) + b"\n"))
    words = ["explain", "swift/P1", "--decisions", str(decisions), "--tracking", str(tracking)]
    app = cli.application("explain")
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0
    assert "stall.opened: no movement" in done.output
    report = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert [moment["what"] for moment in report["timeline"]] == ["scan", "scan", "decision"]
    assert report["timeline"][2]["evidence"] == "No scan for 29 h after departure."


def test_the_command_without_a_source_or_a_parcel(tmp_path: Path) -> None:
    """Without a source it is used wrongly (2); an unknown parcel is a failure (1)."""
    app = cli.application("explain")
    assert CliRunner().invoke(app, ["explain", "P1"]).exit_code == 2
    decisions = tmp_path / "decisions.ndjson"
    decisions.write_bytes(b"")
    done = CliRunner().invoke(app, ["explain", "P1", "--decisions", str(decisions)])
    assert (done.exit_code, done.output) == (1, "Nothing is known of P1.\n")
