"""Strict models of `detectors.yaml`: one section a core, the cores' own parameters and defaults.

A field's name and default are those of the core's keyword parameter; a test compares them. The
descriptions become the configuration reference and the JSON Schema editors use.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StrictInt, field_validator, model_validator

from detectors.complaints import ComplaintsCore
from detectors.events import Category
from detectors.flow import FlowCore
from detectors.issues import ISSUE_WORDS
from detectors.parcels import ParcelsCore

Count = Annotated[StrictInt, Field(ge=1)]
Days = Annotated[float, Field(gt=0, le=3650)]
Lateness = Annotated[StrictInt, Field(ge=0, le=7 * 86_400, multiple_of=900)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Section(BaseModel):
    """A part of a configuration file: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    def parameters(self) -> dict[str, Any]:
        """Return the fields as keyword parameters of the core."""
        return dict(self)


class ParcelsConfig(Section):
    """Stalls, customs and sign-offs: one parcel at a time."""

    epoch_seconds: Annotated[StrictInt, Field(ge=60, le=86_400, multiple_of=60)] = 14_400
    """Models judge with what they knew at the start of an epoch and learn at its end. Shorter
    learns sooner, and costs a little more."""
    late_cost: Annotated[float, Field(gt=0, le=10)] = 0.018
    """What calling a stall too late costs, in false calls. Larger: earlier flags, and more of them
    false: at .018 five to eight in 1,000 parcels where there are no timetables."""
    half_life_days: Days = 30.0
    """After so many days an observation counts half. Shorter follows changes sooner."""
    min_observations: Count = 50
    """With fewer, a segment has no opinion and a coarser one is asked."""
    max_segments: Count = 50_000
    """Histograms of dwells kept; beyond, new lanes speak through their carrier."""
    least_wait_seconds: Annotated[float, Field(ge=0)] = 3600.0
    """No silence shorter than this is a stall."""
    recheck_seconds: Annotated[StrictInt, Field(ge=60)] = 86_400
    """How often a parcel is looked at again while nobody can tell what is usual for it."""
    unheard_days: Annotated[float, Field(ge=0, le=60)] = 4.0
    """For so long, at most, a carrier that is not heard excuses its parcels' silences; 0: never."""
    customs_days: Days = 7.0
    """A parcel in customs for longer is overdue."""
    expire_days: Days = 60.0
    """A parcel that has been silent for so long is forgotten."""
    retention_days: Days = 45.0
    """A parcel is remembered for so long after the end of its life."""
    recycle_days: Days = 30.0
    """A label made so long after the end of a parcel's life is another parcel's."""
    least_attempted_share: Share = 0.99
    """A delivery that was never out for delivery is abnormal where at least this share was."""
    soonest_probability: Share = 0.0001
    """A delivery is implausibly soon when so small a share of a lane's is sooner."""
    wrong_signoffs: Share = 0.003
    """Share of sign-offs that are wrong, before anything is known of one."""
    least_wrong_probability: Share = 0.2
    """A delivery that breaks no rule is abnormal when its last steps together make it so likely
    wrong."""
    late_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Of the parcels with a promise, the share that may be flagged as `late_against_promise` before
    it is broken; 0 for none. A budget apart from that of silences."""
    late_chance: Share = 0.5
    """No parcel is flagged as late that is less likely to be, whatever the budget allows."""
    late_days: Days = 3.0
    """So many days before its promise a parcel is asked whether it will be late."""
    allowed_lateness_seconds: Lateness = 3600
    """A count is late when its bucket ended so long before the clock. The same in all sections."""
    max_parcels: Count = 2_000_000
    """Parcels remembered at once; events of further ones become dead letters."""

    def build(
        self, *, source: str, config_version: str, sources: Sequence[str] = ()
    ) -> ParcelsCore:
        """Return a new core; `source` names it and its partition, e.g. `parcels/3`.

        `sources` are all parcels cores it shares its models with.
        """
        return ParcelsCore(
            source=source, sources=sources, config_version=config_version, **self.parameters()
        )


class ComplaintsConfig(Section):
    """Repeat complainers: one customer at a time."""

    window_days: Days = 14.0
    """Complaints of the same issue no further apart than this belong together."""
    repeats: Annotated[StrictInt, Field(ge=2, le=1000)] = 2
    """How many of them make a customer whom a person should look after."""
    allowed_lateness_seconds: Lateness = 3600
    """A count is late when its hour ended so long before the clock. The same in all sections."""
    max_customers: Count = 1_000_000
    """Customers remembered at once; complaints of further ones become dead letters."""
    max_complaints: Annotated[StrictInt, Field(ge=2, le=10_000)] = 50
    """Complaints remembered per customer; the oldest are forgotten first."""
    issue_words: dict[str, Category] = Field(
        default={w: Category(c) for w, c in ISSUE_WORDS.items()}
    )
    """Words in an issue that tell the category of a complaint without one; the first match wins."""

    @field_validator("max_complaints")
    @classmethod
    def _enough(cls, value: int, info: Any) -> int:
        if value < info.data.get("repeats", 2):
            raise ValueError("must be at least repeats")
        return value

    def build(self, *, source: str, config_version: str) -> ComplaintsCore:
        """Return a new core; `source` names it and its partition, e.g. `complaints/3`."""
        return ComplaintsCore(source=source, config_version=config_version, **self.parameters())


class FlowConfig(Section):
    """Surges, capacity and silent feeds: counts of regions and carriers."""

    allowed_lateness_seconds: Lateness = 3600
    """How long after its end an hour of complaints stays open. The same in all sections."""
    false_surges_a_month: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """How many surges a month chance may open, over all regions together."""
    min_days: Days = 7.0
    """A series younger than this has no opinion."""
    utc_offset_seconds: Annotated[StrictInt, Field(ge=-43_200, le=50_400)] = 0
    """Local time, which makes the day and the week of a season: 28800 is UTC+8."""
    min_complaints: Count = 4
    """Fewer complaints are no surge."""
    cool_down_hours: Annotated[StrictInt, Field(ge=0, le=24 * 365)] = 48
    """After an episode its region rests for so long."""
    max_episode_days: Count = 7
    """A surge that lasts longer is the new normal, and is closed."""
    silence_chance: Share = 1e-5
    """Chance that a usual silence of a carrier is called a silent feed. Smaller: later."""
    min_silence_seconds: Annotated[StrictInt, Field(ge=60)] = 3600
    """No shorter silence is one."""
    parcels_per_courier_day: Annotated[float, Field(gt=0)] = 80.0
    """What a courier clears a day: turns parcels too many into couriers to add. Couriers are not in
    the events, so this cannot be learned; what all of a region clear a day is."""
    overflow_hours: Annotated[float, Field(ge=6, le=240)] = 36.0
    """A region overflows when more lies in it than its couriers clear, as a rule, in so many
    hours."""
    overflow_probability: Share = 0.7
    """An overflow within two days is announced from this probability on. Smaller: earlier, and
    more that do not come true."""
    forget_days: Count = 120
    """A series that has counted nothing for so long is forgotten."""
    max_series: Count = 100_000
    """Series of each kind, up to 4 KB of memory each; further ones become dead letters."""

    def build(self, *, sources: Sequence[str], config_version: str) -> FlowCore:
        """Return a new core; `sources` are all that send it counts."""
        return FlowCore(sources=sources, config_version=config_version, **self.parameters())


class Detectors(Section):
    """`detectors.yaml`: what is detected, and how."""

    parcels: ParcelsConfig = ParcelsConfig()
    complaints: ComplaintsConfig = ComplaintsConfig()
    flow: FlowConfig = FlowConfig()

    @model_validator(mode="after")
    def _one_lateness(self) -> Self:
        """A count that one core calls late and another does not would be lost or doubled."""
        sections = (self.parcels, self.complaints, self.flow)
        values = {
            value for s in sections if (value := s.parameters().get("allowed_lateness_seconds"))
        }
        if len(values) > 1:
            raise ValueError("allowed_lateness_seconds must be the same in all sections")
        return self
