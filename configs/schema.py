"""Strict models of `detectors.yaml`: one section a core, the cores' own parameters and defaults.

A field's name, default and meaning are those of the core's keyword parameter; a test compares
them. The descriptions become the configuration reference and the JSON Schema editors use.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from detectors.complaints import ComplaintsCore
    from detectors.flow import FlowCore
    from detectors.parcels import ParcelsCore


class Section(BaseModel):
    """A part of a configuration file: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ParcelsConfig(Section):
    """Stalls, customs and sign-offs: one parcel at a time."""

    def build(self, *, source: str, config_version: str) -> "ParcelsCore":
        """Return a new core; `source` names it and its partition, e.g. `parcels/3`."""
        from detectors.parcels import ParcelsCore

        return ParcelsCore(source=source, config_version=config_version, **dict(self))


class ComplaintsConfig(Section):
    """Repeat complainers: one customer at a time."""

    def build(self, *, source: str, config_version: str) -> "ComplaintsCore":
        """Return a new core; `source` names it and its partition, e.g. `complaints/3`."""
        from detectors.complaints import ComplaintsCore

        return ComplaintsCore(source=source, config_version=config_version, **dict(self))


class FlowConfig(Section):
    """Surges, capacity and silent feeds: counts of regions and carriers."""

    def build(self, *, sources: Sequence[str], config_version: str) -> "FlowCore":
        """Return a new core; `sources` are all that send it counts."""
        from detectors.flow import FlowCore

        return FlowCore(sources=sources, config_version=config_version, **dict(self))


class Detectors(Section):
    """`detectors.yaml`: what is detected, and how."""

    parcels: ParcelsConfig = ParcelsConfig()
    complaints: ComplaintsConfig = ComplaintsConfig()
    flow: FlowConfig = FlowConfig()
