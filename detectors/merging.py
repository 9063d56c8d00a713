"""What several partitions learned, as if one had learned it all.

The one place that knows how models are merged (docs/decisions/0010-repartition.md). Contract, for
each kind of model: in go the blobs that each partition's `dump(0, 1)` returned, out comes one blob
for `load(0, 1)`. Weights are aged to the latest day and added, counts that wait to be folded are
integers and added, so the order of the partitions does not matter but for the numbers of
segments. Every new partition is given the whole. Who merges again what was copied counts it as
often as it was copied: quantiles stay, the number of observations is overstated until it is
forgotten.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from detectors.signoff import AttemptShares
from detectors.sketch_state import Folded, Pending, SketchBlob, decode, encode
from detectors.sketches import SEPARATOR


class _Head(msgspec.Struct, array_like=True):
    format: int
    name: str


def merged_sketches(blobs: Sequence[bytes], *, half_life_days: float, max_rows: int) -> bytes:
    """Return the histograms of `blobs` added up.

    Beyond `max_rows` the most special segments with the fewest observations are left out.
    """
    name = _decode_head(blobs[0]).name
    parts = [_read(blob, name) for blob in blobs]
    folded = _add_weights([folded for folded, _ in parts], half_life_days, max_rows)
    pending = _add_pending([pending for _, pending in parts], folded)
    cells, loose = pending.page(0, 1)
    rows = np.arange(len(folded))
    whole = SketchBlob.of(name, len(folded), 0, 1, folded.keys, rows, folded, cells)
    return encode(whole, loose=loose)


def merged_attempts(blobs: Sequence[bytes], *, half_life_days: float) -> bytes:
    """Return the attempts of each carrier's deliveries added up."""
    whole, *parts = (
        AttemptShares(half_life_days=half_life_days, min_observations=1).table
        for _ in range(len(blobs) + 1)
    )
    for part, blob in zip(parts, blobs, strict=True):
        part.load(0, 1, blob)
        rows = part.rows()
        mine = whole.add([part.key(row) for row in rows.tolist()])
        whole["day"][mine] = np.maximum(whole["day"][mine], part["day"][rows])
    for part in parts:
        rows = part.rows()
        mine = whole.find([part.key(row) for row in rows.tolist()])
        kept = np.exp2((part["day"][rows] - whole["day"][mine]) / half_life_days)
        whole["weights"][mine] += part["weights"][rows] * kept[:, None]
        for column in ("attempted", "other"):
            whole[column][mine] += part[column][rows]
    return whole.dump(0, 1)


def _read(blob: bytes, name: str) -> tuple[Folded, Pending]:
    told = decode(blob, name)
    folded, pending = Folded(), Pending()
    folded.take(told)
    pending.take(told, folded.keys, folded.numbers)
    return folded, pending


def _add_weights(parts: Sequence[Folded], half_life_days: float, max_rows: int) -> Folded:
    whole = Folded()
    whole.add(_ordered(parts)[:max_rows])
    places = [_places(part, whole) for part in parts]
    for part, (theirs, mine) in zip(parts, places, strict=True):
        whole.day[mine] = np.maximum(whole.day[mine], part.day[theirs])
    weights = np.zeros((len(whole), whole.weights.shape[1]))
    for part, (theirs, mine) in zip(parts, places, strict=True):
        kept = np.exp2((part.day[theirs] - whole.day[mine]) / half_life_days)
        weights[mine] += part.weights[theirs] * kept[:, None]
        whole.n[mine] += part.n[theirs] * kept
    whole.weights[: len(whole)] = weights
    return whole


def _ordered(parts: Sequence[Folded]) -> list[str]:
    """Return every segment, general ones first, then by how much was observed, then by name."""
    seen: dict[str, float] = {}
    for part in parts:
        for key, n in zip(part.keys, part.n.tolist(), strict=False):
            seen[key] = seen.get(key, 0.0) + n

    def rank(key: str) -> tuple[int, float, str]:
        named = sum(map(bool, key.split(SEPARATOR)))
        return named, -seen[key], key

    return sorted(seen, key=rank)


def _places(part: Folded, whole: Folded) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of a part that the whole has, and where."""
    found = np.array([whole.numbers.get(key, -1) for key in part.keys], np.int64)
    theirs = np.flatnonzero(found >= 0)
    return theirs, found[theirs]


def _add_pending(parts: Sequence[Pending], folded: Folded) -> Pending:
    whole = Pending()
    for part in parts:
        rows = part.busy()
        mine = whole.add([part.key(row) for row in rows.tolist()], folded.numbers)
        whole.counts[mine] += part.counts[rows]
    return whole


_decode_head: Final = msgspec.msgpack.Decoder(_Head).decode
