"""What a broker's answer to a transaction means: one reading for the worker and for deliver."""

from typing import Final

from confluent_kafka import KafkaError, KafkaException, Producer

FENCED: Final = frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001  # librdkafka's own codes have no public name
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.PRODUCER_FENCED,
    }
)
"""Another producer of the same name has begun."""
UNREACHABLE: Final = frozenset(
    {
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._TRANSPORT,  # noqa: SLF001
    }
)
"""Nobody answered."""


def cause_of(producer: Producer, error: KafkaException) -> KafkaException:
    """Ask why a producer is done for: `produce` itself says no more than that it is.

    A fence that the producer learned of in the background shows like this.
    """
    if error.args[0].code() != KafkaError._FATAL:  # noqa: SLF001
        return error
    try:
        producer.abort_transaction(1.0)
    except KafkaException as known:
        return known
    return error
