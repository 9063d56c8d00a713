import json
from collections.abc import Callable
from typing import Any, cast

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from typer.testing import CliRunner, Result

from pipeline import topics
from pipeline.dead_letters import dead_letters_app, moment
from pipeline.letters import REPLAYED_FROM, Mark, Stored, headers_of, read_stored
from pipeline.quarantine import Selection, read_all, replay
from pipeline.records import DeadLetter, RawRecord, read_tracking
from pipeline.settings import Kafka
from pipeline.stops import BrokerUnavailable, Fenced, WrongTopics
from tests.pipeline.wire import NOON_MS, SCAN, record, scan
from tests.real_parts import Broker

# ---------------------------------------------------------------------------------- on the wire


def stored(letter: DeadLetter) -> Stored:
    headers = headers_of(letter, "forewarn.tracking", 3)
    found = read_stored(1, 7, NOON_MS, letter.record.key, letter.record.value, headers)
    assert isinstance(found, Stored)
    return found


def test_a_letter_keeps_its_record() -> None:
    """Key, value, headers and place of the record come back from the dead-letter topic."""
    (letter,) = read_tracking([record(b"\xff", ("trace", b"1"), ("x", None), offset=41)]).dead
    found = stored(letter)
    assert (found.key, found.value) == (b"swift/SW000123", b"\xff")
    assert found.headers == [("trace", b"1"), ("x", None)]
    assert (found.topic, found.source_partition, found.source_offset) == (
        "forewarn.tracking", 3, 41,
    )  # fmt: skip
    assert found.source_timestamp_ms == NOON_MS
    assert (found.reason, found.detail) == ("not_utf8", letter.detail)
    assert found.name == "1/7"


def test_a_producer_cannot_forge_where_a_record_was() -> None:
    """Headers of ours that a record already has are replaced, not believed."""
    forged = record(None, ("forewarn-topic", b"elsewhere"), ("forewarn-replay-of", b"1"))
    found = stored(DeadLetter(forged, "null_record", "x"))
    assert found.topic == "forewarn.tracking"
    assert found.headers == [("forewarn-replay-of", b"1")]


@pytest.mark.parametrize("detail", ["lone \ud800", "é" * 2000])
def test_any_detail_can_be_written(detail: str) -> None:
    """What a record says can never break the transaction it is written in."""
    assert len(dict(headers_of(DeadLetter(record(None), "r", detail), "t", 0))["forewarn-detail"]
               or b"") <= 1000  # fmt: skip


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("forewarn-reason", b"x")],
        [("forewarn-replay-of", b"x")],
        [("forewarn-replay-of", None)],
    ],
)
def test_what_is_no_letter_is_passed_over(headers: list[tuple[str, bytes | None]]) -> None:
    """Strange records in the dead-letter topic are no reason to fail."""
    assert read_stored(0, 0, 0, None, None, headers) is None


def test_a_mark_names_its_letter() -> None:
    """A mark stands in the partition of the letter it marks."""
    mark = read_stored(2, 9, 0, None, None, [("forewarn-replay-of", b"5")])
    assert mark == Mark(2, 5)
    assert isinstance(mark, Mark)
    assert mark.name == "2/5"


@pytest.mark.parametrize("text", ["yesterday", "5 h", "", "-1d", "7w"])
def test_a_wrong_time_says_what_is_wanted(text: str) -> None:
    """--since takes a date-time or an age and nothing else."""
    with pytest.raises(Exception, match="wanted: 2026"):
        moment(text)


def test_a_time_without_offset_is_utc() -> None:
    """Both spellings of a moment are the same moment."""
    assert moment("2026-03-01T12:00:00") == moment("2026-03-01T13:00:00+01:00") == NOON_MS
    assert 0 < moment("1h") - moment("2h") - 3_599_000 < 2000


# ------------------------------------------------------------------------------------- on a broker


@pytest.fixture
def topics_made(broker: Broker, name: str) -> Kafka:
    """A broker with Forewarn's topics under a prefix of this test."""
    settings = Kafka(brokers=broker.bootstrap, prefix=name, group=name, partitions=2)
    topics.create(settings)
    return settings


@pytest.fixture
def forewarn(topics_made: Kafka, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `forewarn dead-letters …` against that broker."""
    monkeypatch.setenv("FOREWARN_KAFKA__BROKERS", topics_made.brokers)
    monkeypatch.setenv("FOREWARN_KAFKA__PREFIX", topics_made.prefix)
    monkeypatch.setenv("FOREWARN_KAFKA__GROUP", topics_made.group)

    def run(*words: str) -> Result:
        return CliRunner().invoke(dead_letters_app, words)

    return run


BAD = [
    record(scan(schema_version="2"), ("trace", b"7"), offset=10),
    record(b"\xff\x00\x1b[31m", offset=11),
    record(None, offset=12, timestamp_ms=NOON_MS + 1),
    record({**SCAN, "milestone": "[bold]"}, offset=13),
]


def fill(kafka: Kafka, records: list[RawRecord]) -> None:
    """Write the dead letters of records in one transaction, as a worker does."""
    producer = Producer({"bootstrap.servers": kafka.brokers, "transactional.id": kafka.prefix})
    producer.init_transactions(20)
    producer.begin_transaction()
    for letter in read_tracking(records).dead:
        producer.produce(
            kafka.topic("dead-letters"),
            letter.record.value,
            letter.record.key,
            partition=letter.record.offset % 2,
            headers=headers_of(letter, kafka.topic("tracking"), letter.record.offset % 2),  # type: ignore[arg-type]  # the stub's list is invariant
        )
    producer.commit_transaction(20)


def tracking(kafka: Kafka) -> list[Message]:
    """Every committed record of the tracking topic, by partition and offset."""
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.brokers,
            "group.id": f"{kafka.prefix}-test",
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 50,
        }
    )
    topic = kafka.topic("tracking")
    consumer.assign([TopicPartition(topic, p, 0) for p in range(kafka.partitions)])
    found, ended = [], 0
    while ended < kafka.partitions:
        message = consumer.poll(20)
        assert message is not None
        error = message.error()
        if error is None:
            found.append(message)
        else:
            assert error.code() == KafkaError._PARTITION_EOF
            ended += 1
    consumer.close()
    return sorted(found, key=lambda m: (m.partition() or 0, m.offset() or 0))


def headers_on(message: Message) -> dict[str, bytes | None]:
    return dict(cast("list[tuple[str, bytes | None]]", message.headers()))


def test_list_tells_what_died_and_why(topics_made: Kafka, forewarn: Callable[..., Result]) -> None:
    """The table and the JSON name reason, place and detail; filters and limit narrow them."""
    assert "No dead letters." in forewarn("list").output
    fill(topics_made, BAD)
    table = forewarn("list").output
    assert all(reason in table for reason in ("unknown_version", "not_utf8", "null_record"))
    assert "'[bold]'" in table
    assert "\x1b" not in table

    def listed(*words: str) -> list[dict[str, Any]]:
        result = forewarn("list", "--json", *words)
        assert result.exit_code == 0
        return [json.loads(line) for line in result.output.splitlines()]

    everything = listed()
    assert {each["reason"] for each in everything} == {
        "unknown_version", "not_utf8", "null_record", "impossible_value",
    }  # fmt: skip
    (one,) = listed("--reason", "unknown_version")
    assert (one["topic"], one["partition"], one["offset"], one["timestamp_ms"]) == (
        topics_made.topic("tracking"), 0, 10, NOON_MS,
    )  # fmt: skip
    assert (one["key"], one["replayed"]) == ("swift/SW000123", False)
    assert len(listed("--reason", "not_utf8", "--reason", "null_record")) == 2
    assert listed("--limit", "1") == everything[-1:]
    assert listed("--since", "2099-01-01T00:00:00Z") == []
    assert len(listed("--since", "1h")) == 4
    assert "3 older ones are not shown" in forewarn("list", "--limit", "1").output


def test_show_prints_any_value_safely(
    topics_made: Kafka, forewarn: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text is shown as text, bytes as a hex dump, and --raw gives them back exactly."""
    fill(topics_made, BAD)
    by_reason = {letter.reason: letter.name for letter in read_all(topics_made).letters}
    shown = forewarn("show", by_reason["not_utf8"]).output
    assert "00000000  ff 00 1b 5b 33 31 6d" in shown
    assert "...[31m" in shown
    assert "\x1b" not in shown
    assert '"schema_version":"2"' in forewarn("show", by_reason["unknown_version"]).output
    assert "header     trace: 7" in forewarn("show", by_reason["unknown_version"]).output
    assert "none (null record)" in forewarn("show", by_reason["null_record"]).output
    whole = json.loads(forewarn("show", "--json", by_reason["not_utf8"]).output)
    assert whole["value_base64"] == "/wAbWzMxbQ=="
    assert forewarn("show", "--raw", by_reason["not_utf8"]).stdout_bytes == BAD[1].value
    missing = forewarn("show", "0/99")
    assert "there is no dead letter 0/99" in str(missing.exception)
    assert forewarn("show", "0-99").exit_code == 2


def test_replay_writes_each_record_back_once(
    topics_made: Kafka, forewarn: Callable[..., Result]
) -> None:
    """Records return to topic and partition as they were; a second replay adds nothing."""
    fill(topics_made, BAD)
    before = forewarn("replay", "--all", "--dry-run")
    assert "would write back 4 records" in before.output
    assert tracking(topics_made) == []
    assert forewarn("replay").exit_code == 2

    first = forewarn("replay", "--reason", "unknown_version")
    assert "wrote back 1 record" in first.output
    (back,) = tracking(topics_made)
    assert (back.key(), back.value(), back.partition()) == (BAD[0].key, BAD[0].value, 0)
    # Its own time where the topic keeps the producers', else the broker's, which is later.
    assert back.timestamp()[1] >= NOON_MS
    headers = headers_on(back)
    assert headers["trace"] == b"7"
    assert set(headers) == {"trace", REPLAYED_FROM}

    assert "wrote back 3 records" in forewarn("replay", "--all").output
    assert "wrote back 0 records" in forewarn("replay", "--all").output
    values = [(m.partition(), m.value()) for m in tracking(topics_made)]
    assert sorted(values, key=repr) == sorted([(r.offset % 2, r.value) for r in BAD], key=repr)
    assert all(
        json.loads(line)["replayed"] for line in forewarn("list", "--json").output.splitlines()
    )


def test_what_dies_again_can_be_written_back_again(topics_made: Kafka) -> None:
    """A replayed record that is still unreadable is a new letter of its own."""
    fill(topics_made, BAD[:1])
    (once,) = replay(topics_made, Selection())
    (back,) = tracking(topics_made)
    headers = list(headers_on(back).items())
    fill(topics_made, [RawRecord(back.key(), back.value(), 20, back.timestamp()[1], headers)])
    (twice,) = replay(topics_made, Selection())
    assert twice.name != once.name
    assert headers_on(tracking(topics_made)[-1])[REPLAYED_FROM] == twice.name.encode()
    assert replay(topics_made, Selection()) == []


def test_restamp_gives_the_present_time(
    topics_made: Kafka, forewarn: Callable[..., Result]
) -> None:
    """A record that was ahead of its time can be taken when that time has come."""
    fill(topics_made, BAD[:1])
    assert forewarn("replay", "--all", "--restamp").exit_code == 0
    assert tracking(topics_made)[0].timestamp()[1] > NOON_MS + 10**9


def test_the_older_of_two_replays_gives_way(
    topics_made: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two replays at once only one writes, so nothing is doubled."""
    fill(topics_made, BAD)
    read = read_all
    overtaken: list[int] = []

    def overtake(*arguments: Any) -> Any:
        """Between its reading and its writing, another replay does all of the work."""
        shelf = read(*arguments)
        monkeypatch.setattr("pipeline.quarantine.read_all", read)
        overtaken.append(len(replay(topics_made, Selection())))
        return shelf

    monkeypatch.setattr("pipeline.quarantine.read_all", overtake)
    with pytest.raises(Fenced):
        replay(topics_made, Selection())
    assert overtaken == [len(BAD)]
    assert len(tracking(topics_made)) == len(BAD)


def test_a_missing_topic_or_broker_is_said(topics_made: Kafka) -> None:
    """What is wrong with the surroundings is no traceback."""
    with pytest.raises(WrongTopics, match="forewarn topics create"):
        read_all(topics_made.model_copy(update={"prefix": f"{topics_made.prefix}-other"}))
    gone = topics_made.model_copy(update={"brokers": "127.0.0.1:1", "request_timeout_seconds": 1})
    with pytest.raises(BrokerUnavailable):
        read_all(gone)
    with pytest.raises(BrokerUnavailable):
        replay(gone, Selection())
