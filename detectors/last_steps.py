"""The last steps of parcels' records, as the model of sign-offs knows them: numbers made codes."""

import numpy as np

from detectors.histograms import Floats
from detectors.parcel_table import Block, Flag, ParcelTable, has
from detectors.plausibility import Plausibility, way_of
from detectors.scan_columns import MILESTONES, Index, Mask, Seconds
from detectors.sketch_pending import once

_STAGES = 2 * (len(MILESTONES) + 1)
"""A milestone, outside or in the destination region."""


class LastSteps:
    """Asks and teaches the plausibility of deliveries, for records of the parcels' table."""

    def __init__(self, parcels: ParcelTable, model: Plausibility) -> None:
        self._parcels, self.model = parcels, model
        self.forget_codes()

    def forget_codes(self) -> None:
        """Forget what is derived: after loading, or when there are too many codes."""
        self.model.forget_codes()
        self._carriers: dict[int, int] = {}
        self._stages: dict[int, int] = {}
        self._places: dict[tuple[int, int], tuple[int, int]] = {}

    def shares(self, block: Block, region: Index, gap: Seconds) -> list[Floats]:
        """Return the share of usual deliveries as odd as each, by step; NaN for no opinion.

        `block` are the records before the delivery, `region` where it was and `gap` the seconds
        since the last scan, each of shape (n,).
        """
        before, gaps = self._codes(block)
        regions = np.full(len(block), np.nan)
        told = (block["destination"] != 0) & (region != 0)
        if np.count_nonzero(told):
            to, there = self._region_codes(block["destination"][told], region[told])
            regions[told] = self.model.region_shares(to, there)
        ways = self.model.before_shares(before, _ways(block))
        return [ways, self.model.gap_shares(gaps, gap), regions]

    def learn(self, block: Block, region: Index, gap: Seconds) -> None:
        """Count deliveries; arguments as for `shares`."""
        before, gaps = self._codes(block)
        self.model.learn_before(before, _ways(block))
        self.model.learn_gaps(gaps, gap)
        told = (block["destination"] != 0) & (region != 0)
        if np.count_nonzero(told):
            codes = self._region_codes(block["destination"][told], region[told])
            self.model.learn_regions(*codes)

    def attempted(self, carrier: int) -> tuple[float | None, int]:
        """Return the share of a carrier's deliveries attempted before, and of how many."""
        return self.model.attempted(self._carrier_code(carrier))

    def usually_attempted(self, carrier: Index, least_share: float) -> Mask:
        """Tell of each carrier whether nearly all its deliveries were out for delivery before."""
        usual = np.zeros(len(self._parcels.carriers) + 1, np.bool_)
        for number in once(carrier).tolist():
            share, _ = self.attempted(number)
            usual[number] = share is not None and share >= least_share
        return usual[carrier]

    def _codes(self, block: Block) -> tuple[Index, Index]:
        """Return the codes of carriers, and of carriers' last stages."""
        carrier = block["carrier"].astype(np.int64)
        stage = carrier * _STAGES + block["stage"] * np.int64(2) + block["inside"]
        return (
            np.array([self._carrier_code(number) for number in carrier.tolist()], np.int64),
            np.array([self._stage_code(number) for number in stage.tolist()], np.int64),
        )

    def _carrier_code(self, number: int) -> int:
        code = self._carriers.get(number)
        if code is None:
            name = self._parcels.carriers[number] or ""
            code = self._carriers[number] = self.model.before_code(name)
        return code

    def _stage_code(self, number: int) -> int:
        code = self._stages.get(number)
        if code is None:
            carrier, stage = divmod(number, _STAGES)
            name = self._parcels.carriers[carrier] or ""
            code = self._stages[number] = self.model.gap_code(name, str(stage))
        return code

    def _region_codes(self, destination: Index, region: Index) -> tuple[Index, Index]:
        pairs = list(zip(destination.tolist(), region.tolist(), strict=True))
        codes = np.array([self._places.get(pair) or self._place(pair) for pair in pairs], np.int64)
        return codes[:, 0], codes[:, 1]

    def _place(self, pair: tuple[int, int]) -> tuple[int, int]:
        names = [self._parcels.names[number] or "" for number in pair]
        codes = self._places[pair] = self.model.region_codes(names[0], names[1])
        return codes


def _ways(block: Block) -> Index:
    flags = block["flags"]
    return way_of(block["stage"], has(flags, Flag.ATTEMPTED), has(flags, Flag.TURNED_BACK))
