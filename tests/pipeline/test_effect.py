"""Whether remedies work: planted effects are found, and none where none is."""

import json
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from benchmarks.effect import WORLDS, measure
from detectors.decisions import Decision
from detectors.events import Complaint
from pipeline.cli import application
from pipeline.effect import Evidence, Outcome, units
from pipeline.ledger import RemedyEntry, State, encode_entry, fold
from pipeline.policy import judge
from pipeline.remedies import Reason, RemedyRequest
from pipeline.sequences import LEAST, Comparison, boundary
from tests.pipeline.delivering import NOON, cleared, stall
from tests.pipeline.test_policy import changed

POLICIES = changed(hold_out={"share": 0.5})


def story(
    customers: int, treated_rate: float, held_out_rate: float
) -> tuple[list[RemedyEntry], list[Complaint], list[Decision]]:
    """Ledger entries, complaints and decisions of so many customers, one an hour."""
    random = np.random.default_rng(7)
    entries, complaints = [], []
    decisions: list[Decision] = []
    for number in range(customers):
        at = NOON + timedelta(hours=number)
        opened = stall(number, at=at, promised_at=at + timedelta(days=1))
        request = judge(opened, POLICIES)
        assert isinstance(request, RemedyRequest)
        state = State.REFUSED if request.held_out else State.RESERVED
        key = request.remedy_id
        entries.append(
            RemedyEntry(remedy_id=key, state=state, at=at, reason=request.refuse, request=request)
        )
        if not request.held_out:
            entries.append(RemedyEntry(remedy_id=key, state=State.ISSUED, at=at))
        rate = held_out_rate if request.held_out else treated_rate
        for nth in range(int(random.poisson(rate))):
            when = at + timedelta(days=1, hours=nth)
            complaints.append(
                Complaint(
                    complaint_id=f"{number}-{nth}", customer_id=f"C{number}", occurred_at=when,
                    region="R01",
                )
            )  # fmt: skip
        hours = 12 if number % 2 else 48
        arrived = cleared(opened, hours=hours)
        moved = at + timedelta(hours=hours)
        decisions += [opened, msgspec.structs.replace(arrived, occurred_at=moved)]
    return entries, complaints, decisions


def run(folder: Path, *words: str, customers: int, treated: float, held_out: float) -> str:
    entries, complaints, decisions = story(customers, treated, held_out)
    for name, lines in {
        "ledger": map(encode_entry, entries),
        "complaints": map(msgspec.json.encode, complaints),
        "decisions": map(msgspec.json.encode, decisions),
    }.items():
        (folder / f"{name}.ndjson").write_bytes(b"\n".join(lines) + b"\n")
    given_ = [f"--{name}={folder / name}.ndjson" for name in ("ledger", "complaints", "decisions")]
    result = CliRunner().invoke(application("effect"), ["effect", *given_, "--share=0.5", *words])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_planted_effect_is_told_in_a_sentence_and_drawn(tmp_path: Path) -> None:
    """How many complaints were avoided, their price, by policy and region, and a picture."""
    plot = tmp_path / "effect.svg"
    said = run(tmp_path, f"--plot={plot}", customers=2400, treated=0.1, held_out=0.5)
    first = said.splitlines()[0]
    assert first.startswith("Remedies spared")
    assert "¥" in first
    assert "stalled-parcel" in said
    assert "R01" in said
    assert "Remedies avoid complaints" in plot.read_text("utf-8")


def test_the_figures_are_what_happened(tmp_path: Path) -> None:
    """Counts, means, money and arrivals add up; one list's intervals hold together."""
    found = json.loads(run(tmp_path, "--json", customers=1200, treated=0.1, held_out=0.4))
    groups = {(row["group"], row["outcome"]): row for row in found["groups"]}
    whole = groups["all", "complaints"]
    assert whole["avoided_low"] < 0.3 < whole["avoided_high"]
    assert whole["spent_minor"] == 500 * whole["treated"]
    assert whole["minor_for_each"] == pytest.approx(500 / whole["avoided"])
    late = groups["all", "late_parcels"]
    assert 0.4 < late["treated_mean"] < 0.6, "half of them arrived a day too late"
    assert not late["works"]
    regions = [row for (name, outcome), row in groups.items() if name.startswith("region/")]
    assert {round(row["confidence"], 6) for row in regions} == {round(1 - 0.05 / 3, 6)}
    assert (
        sum(row["treated"] for row in regions if row["outcome"] == "complaints")
        == (whole["treated"])
    )


def test_no_effect_is_said(tmp_path: Path) -> None:
    """Where nothing was planted nothing is found; with few customers, that little is known."""
    said = run(tmp_path, customers=1200, treated=0.3, held_out=0.3)
    assert said.startswith("No effect on complaints can be told from chance")
    assert run(tmp_path, customers=100, treated=0.3, held_out=0.3).startswith("Too little is known")


def test_without_a_hold_out_there_is_nothing_to_compare(tmp_path: Path) -> None:
    """The error says what to do."""
    entries, _, _ = story(5, 0, 0)
    treated = [entry for entry in entries if entry.reason is not Reason.HOLD_OUT]
    path = tmp_path / "ledger.ndjson"
    path.write_bytes(b"\n".join(map(encode_entry, treated)))
    result = CliRunner().invoke(application("effect"), ["effect", f"--ledger={path}"])
    assert result.exit_code != 0
    assert "hold_out.share" in str(result.exception)


def test_a_customer_counts_once_when_the_window_is_over() -> None:
    """From the first request on, not before the end of the window, in the order it ended."""
    evidence = Evidence()
    entries, complaints, _ = story(4, 0, 0)
    evidence.see_book(fold(entries))
    assert complaints == []
    assert units(evidence, timedelta(days=14)) == []
    evidence.latest = NOON + timedelta(days=14, hours=2)
    found = units(evidence, timedelta(days=14))
    assert [unit.account.request.customer_id for unit in found] == ["C0", "C1", "C2"]


def test_the_interval_keeps_its_word_when_looked_at_every_day() -> None:
    """Of 60 runs, with an effect and with none, few are ever wrong; a classical one often is."""
    rows = [measure(WORLDS[n], runs=60, days=40, a_day=100, seed=3) for n in (0, 2)]
    for row in rows:
        assert row.covered >= 0.88
        assert row.classical_every_day < 0.9
    assert rows[0].told_from_nothing < 0.12
    assert rows[1].told_from_nothing > 0.5


@given(outcomes=st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=400),
       share=st.floats(0.5, 0.99))  # fmt: skip
def test_no_opinion_before_enough_and_never_nonsense(
    outcomes: list[tuple[bool, int]], share: float
) -> None:
    """None until both groups are large enough; then the estimate is within its interval."""
    compared = Comparison(share)
    for treated, outcome in outcomes:
        compared.add(treated=treated, outcome=float(outcome))
    found = compared.interval(0.95)
    if min(compared.treated, compared.held_out) < LEAST:
        assert found is None
    if found is not None:
        assert found.low <= found.estimate <= found.high


@given(count=st.integers(1, 10**7), error=st.floats(0.001, 0.5))
def test_the_boundary_shrinks_and_widens_with_certainty(count: int, error: float) -> None:
    """More customers never make it wider; more certainty never makes it narrower."""
    assert boundary(count + 1, error) < boundary(count, error)
    assert boundary(count, error / 2) > boundary(count, error)
    assert boundary(count, error) > 1 / count**0.5, "never narrower than a standard error"


def test_outcomes_are_the_enum() -> None:
    """What is compared is what the documentation lists."""
    assert {outcome.value for outcome in Outcome} == {
        "complaints", "repeat_complaints", "late_parcels",
    }  # fmt: skip
