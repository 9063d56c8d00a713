"""The scorecard of a replay: what was decided, how well, for people and for programs."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from pipeline.recordings import open_recording
from pipeline.replay import Replayed
from pipeline.scoring import (
    Complained,
    Hits,
    Stalls,
    Times,
    by_reason,
    complained,
    flag_times,
    score_feeds,
    score_repeats,
    score_signoffs,
    score_stalls,
    score_surges,
)
from simulator.truth import Truth

_truth: Final = msgspec.json.Decoder(Truth).decode


class TruthError(ValueError):
    """A line of the truth cannot be read."""


class Scorecard(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A replay in figures."""

    records: dict[str, int]
    """Lines read, by input."""
    parcels: int
    decisions: dict[str, dict[str, int]]
    """By kind and reason."""
    dead_letters: dict[str, int]
    """By reason."""
    through: datetime | None
    """The time the data reached."""
    complaints: Complained
    seconds: float
    """What the replay took."""
    stalls: Stalls | None = None
    signoffs: Hits | None = None
    surges: Hits | None = None
    feeds: Hits | None = None
    repeat_complainers: Hits | None = None


def read_truth(path: Path) -> list[Truth]:
    """Read the truth of a simulated world. Raises `TruthError` with the line."""
    with open_recording(path) as file:
        truths = []
        for number, line in enumerate(file, 1):
            try:
                truths.append(_truth(line))
            except msgspec.DecodeError as error:
                raise TruthError(f"{path}, line {number}: {error}") from error
        return truths


def score(
    replayed: Replayed, complaints: Times, truths: Sequence[Truth] | None, seconds: float
) -> Scorecard:
    """Make the scorecard; `complaints` are the times at which each parcel id was named."""
    flags = flag_times(replayed.decisions)
    through = datetime.fromtimestamp(replayed.through, UTC) if replayed.through else None
    card = Scorecard(
        records={source.value: number for source, number in sorted(replayed.records.items())},
        parcels=replayed.parcels,
        decisions=by_reason(replayed.decisions),
        dead_letters=replayed.dead_by_reason(),
        through=through,
        complaints=complained(flags, complaints),
        seconds=seconds,
    )
    if truths is None or through is None:
        return card
    return msgspec.structs.replace(
        card,
        stalls=score_stalls(flags, truths, replayed.parcels, through),
        signoffs=score_signoffs(replayed.decisions, truths),
        surges=score_surges(replayed.decisions, truths),
        feeds=score_feeds(replayed.decisions, truths),
        repeat_complainers=score_repeats(replayed.decisions, truths),
    )


def show(card: Scorecard, console: Console) -> None:
    """Print the scorecard for a person."""
    read = ", ".join(f"{number:,} {source}" for source, number in card.records.items())
    events = sum(card.records.values())
    pace = events / card.seconds if card.seconds else 0.0
    console.print(
        f"{read or 'nothing'} read ({card.parcels:,} parcels) in {card.seconds:.1f} s, "
        f"{pace:,.0f} events/s; data through {_date(card.through)}",
        highlight=False,
    )
    console.print(_decisions(card))
    if card.dead_letters:
        console.print(_dead(card))
    if card.stalls is None:
        console.print(_complaints(card.complaints), highlight=False)
    else:
        console.print(_found(card))
        console.print(_stalls(card.stalls), highlight=False)


def _decisions(card: Scorecard) -> Table:
    table = _table("decision", "reason", "number")
    for kind, reasons in card.decisions.items():
        for reason, number in reasons.items():
            table.add_row(kind, reason, f"{number:,}")
    return table


def _dead(card: Scorecard) -> Table:
    table = _table("dead letter", "number")
    for reason, number in card.dead_letters.items():
        table.add_row(reason, f"{number:,}")
    return table


def _found(card: Scorecard) -> Table:
    table = _table("planted", "number", "found", "recall", "raised", "false", "precision", "delay")
    rows = {
        "stalled parcels": card.stalls and card.stalls.hits,
        "abnormal sign-offs": card.signoffs,
        "surges": card.surges,
        "silent feeds": card.feeds,
        "repeat complainers": card.repeat_complainers,
    }
    for name, hits in rows.items():
        if hits:
            table.add_row(
                name,
                f"{hits.planted:,}",
                f"{hits.found:,}",
                _ratio(hits.recall),
                f"{hits.raised:,}",
                f"{hits.false:,}",
                _ratio(hits.precision),
                "–" if hits.delay_hours is None else f"{hits.delay_hours:.1f} h",
            )
    return table


def _stalls(stalls: Stalls) -> str:
    kinds = ", ".join(f"{kind} {found} of {n}" for kind, (n, found) in stalls.by_kind.items())
    lines = [
        (
            f"Stalls by kind: {kinds or 'none judged'}; found late {stalls.found_late}, "
            f"too early to judge {stalls.too_early_to_judge}."
        ),
        (
            f"Median delay {_number(stalls.delay_in_p99)} × the 99th percentile of the dwell; "
            f"{_number(stalls.false_in_1000)} false flags in 1,000 of {stalls.healthy:,} "
            f"healthy parcels; {stalls.false_once_learned:,} of them after the first planted "
            "trouble, when the detectors had learned."
        ),
    ]
    for cause, (number, flagged) in stalls.victims.items():
        lines.append(f"Victims of {cause}: {flagged:,} of {number:,} flagged.")
    lines.append(
        f"Customers of {stalls.complained:,} stalled parcels complained; {stalls.warned_before:,} "
        f"were flagged before, at the median {_number(stalls.hours_won)} h."
    )
    return "\n".join(lines)


def _complaints(seen: Complained) -> str:
    return (
        f"{seen.flagged:,} parcels flagged; a complaint named {seen.complained_later:,} of them "
        f"later, at the median after {_number(seen.lead_hours)} h, and "
        f"{seen.complained_before:,} before."
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 or column == "reason" else "right")
    return table


def _ratio(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _date(at: datetime | None) -> str:
    return "–" if at is None else f"{at:%Y-%m-%d %H:%M} UTC"
