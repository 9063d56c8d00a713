"""The partitioner agrees with Kafka's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.partition import murmur2, partition_of, partitions_of


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hashes_as_kafka_clients_do(key: bytes, signed: int) -> None:
    """The vectors of Apache Kafka's UtilsTest.testMurmur2."""
    assert murmur2(key) == signed & 0xFFFFFFFF


def test_partition_is_within_bounds() -> None:
    """Every key has a partition, the empty one too."""
    assert {partition_of(b"%d" % n, 4) for n in range(100)} == {0, 1, 2, 3}
    assert 0 <= partition_of(b"", 7) < 7


@given(st.lists(st.binary(max_size=12), max_size=30), st.integers(1, 64))
def test_many_keys_at_once_lie_where_each_lies_alone(keys: list[bytes], partitions: int) -> None:
    """Whatever lengths they have."""
    found = partitions_of(keys, partitions).tolist()
    assert found == [partition_of(key, partitions) for key in keys]
