"""The bounds of a partition, while its leader is being chosen and when it cannot be asked."""

import pytest
from confluent_kafka import KafkaError, KafkaException, TopicPartition

from pipeline import log_reader
from pipeline.settings import Kafka
from pipeline.stops import BrokerUnavailable


class Reader:
    """A consumer that fails with each of these before it answers."""

    def __init__(self, *failures: int) -> None:
        self.failures = list(failures)
        self.closed = False

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        """Return two offsets, in the end."""
        assert (place.topic, place.partition) == ("forewarn.ledger", 3)
        assert timeout > 0
        if self.failures:
            raise KafkaException(KafkaError(self.failures.pop(0)))
        return 4, 9

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True


def bounds(monkeypatch: pytest.MonkeyPatch, reader: Reader, seconds: float) -> tuple[int, int]:
    """Ask it for the bounds of a partition."""
    monkeypatch.setattr(log_reader, "_reader", lambda _: reader)
    monkeypatch.setattr(log_reader, "_AGAIN_SECONDS", 0.001)
    kafka = Kafka().model_copy(update={"request_timeout_seconds": seconds})
    return log_reader.log_bounds(kafka, "ledger", 3)


def test_a_leader_that_is_being_chosen_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic just made has no leader everybody knows of yet: nobody dies of that."""
    reader = Reader(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
    assert bounds(monkeypatch, reader, 60.0) == (4, 9)
    assert reader.closed


@pytest.mark.parametrize(
    ("failure", "seconds"),
    [(KafkaError.TOPIC_AUTHORIZATION_FAILED, 60.0), (KafkaError.NOT_LEADER_FOR_PARTITION, 0.01)],
)
def test_what_lasts_is_told(monkeypatch: pytest.MonkeyPatch, failure: int, seconds: float) -> None:
    """An error that time does not mend, and one that it has not mended in time."""
    reader = Reader(*[failure] * 1000)
    with pytest.raises(BrokerUnavailable, match=r"forewarn\.ledger"):
        bounds(monkeypatch, reader, seconds)
    assert reader.closed
