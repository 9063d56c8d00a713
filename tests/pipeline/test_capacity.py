"""A task that is nearly full says so, once."""

from structlog.testing import capture_logs

from configs.load import load_config
from pipeline import metrics
from pipeline.capacity import Capacity, limits
from pipeline.task import Input


def test_warns_when_it_is_nearly_full_and_again_only_after_relief() -> None:
    """Four fifths are a warning; hovering there is no second one."""
    capacity = Capacity(5, {Input.TRACKING: 100})
    with capture_logs() as logs:
        for rows in (79, 80, 99, 75, 81, 69, 80):
            capacity.note(Input.TRACKING, rows)
    assert [(line["rows"], line["log_level"]) for line in logs] == [
        (80, "warning"),
        (80, "warning"),
    ]


def test_the_share_is_a_metric() -> None:
    """Share and limit are exposed; an input without a limit has none."""
    capacity = Capacity(6, {Input.TRACKING: 200})
    capacity.note(Input.TRACKING, 50)
    capacity.note(Input.COUNTS, 50)
    value = metrics.REGISTRY.get_sample_value
    used = "forewarn_state_used_ratio"
    assert value(used, {"partition": "6", "input": "tracking"}) == 0.25
    assert value(used, {"partition": "6", "input": "counts"}) is None
    assert value("forewarn_state_limit_rows", {"input": "tracking"}) == 200


def test_limits_are_those_of_the_configuration() -> None:
    """What the cores refuse at is what is watched."""
    config = load_config()
    assert limits(config) == {
        Input.TRACKING: config.parcels.max_parcels,
        Input.COMPLAINTS: config.complaints.max_customers,
    }
