"""The models of detectors.yaml mirror the cores they build."""

import inspect

import pytest

from configs.schema import ComplaintsConfig, Detectors, FlowConfig, ParcelsConfig, Section
from detectors.complaints import ComplaintsCore
from detectors.flow import FlowCore
from detectors.parcels import ParcelsCore

GIVEN = {"self", "source", "sources", "config_version"}
PAIRS: list[tuple[type[Section], type]] = [
    (ParcelsConfig, ParcelsCore),
    (ComplaintsConfig, ComplaintsCore),
    (FlowConfig, FlowCore),
]


@pytest.mark.parametrize(("section", "core"), PAIRS)
def test_fields_and_defaults_are_the_cores_own(section: type[Section], core: type) -> None:
    """A parameter of a core is a field of the same name with the same default, and back."""
    signature = inspect.signature(core).parameters
    parameters = {name: p.default for name, p in signature.items() if name not in GIVEN}
    assert section().parameters() == parameters


@pytest.mark.parametrize(("section", "_core"), PAIRS)
def test_every_field_says_what_it_does(section: type[Section], _core: type) -> None:
    """The reference has no field without a description."""
    assert [name for name, field in section.model_fields.items() if not field.description] == []


def test_sections_build_their_cores() -> None:
    """What the YAML says reaches the core."""
    detectors = Detectors.model_validate({"complaints": {"repeats": 3}, "flow": {"min_days": 9}})
    complaints = detectors.complaints.build(source="complaints/0", config_version="v")
    assert (complaints.repeats, complaints.config_version) == (3, "v")
    assert len(detectors.parcels.build(source="parcels/0", config_version="v")) == 0
    flow = detectors.flow.build(sources=["parcels/0", "complaints/0"], config_version="v")
    assert len(flow) == 0
