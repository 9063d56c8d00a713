"""Settings come from one file and variables, and mistakes are named."""

import os
from pathlib import Path

import pytest
from pydantic import BaseModel

from configs.problems import ConfigError
from pipeline.settings import Clock, Settings, variable


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("FOREWARN_"):
            monkeypatch.delenv(name)


def problems(file: Path | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Settings.load(file)
    return [str(problem) for problem in caught.value.problems]


def test_defaults_bind_nothing_beyond_loopback() -> None:
    """Without any settings, everything is on this machine and nobody else can reach it."""
    settings = Settings.load()
    assert settings.metrics.host == "127.0.0.1"
    assert settings.kafka.brokers == "127.0.0.1:9092"
    assert settings.kafka.topic("tracking") == "forewarn.tracking"
    assert settings.clock is Clock.BROKER


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("some.yaml", "kafka:\n  brokers: a:1\n  partitions: 8\nclock: data\n"),
        ("some.toml", 'clock = "data"\n[kafka]\nbrokers = "a:1"\npartitions = 8\n'),
    ],
)
def test_variables_win_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    """A file gives what stays, a variable what differs, field by field."""
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("FOREWARN_SETTINGS", str(path))
    monkeypatch.setenv("FOREWARN_KAFKA__BROKERS", "b:2")
    settings = Settings.load()
    assert (settings.kafka.brokers, settings.kafka.partitions) == ("b:2", 8)
    assert settings.clock is Clock.DATA


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("FOREWARN_KAFKA__BROKRS", "x", "kafka.brokrs: unknown key; did you mean `brokers`?"),
        ("FOREWARN_KAFKA_BROKERS", "x", "did you mean `FOREWARN_KAFKA__BROKERS`?"),
        ("FOREWARN_CLOK", "data", "unknown variable; did you mean `FOREWARN_CLOCK`?"),
        ("FOREWARN_CLOCK", "dta", "'broker' or 'data', not 'dta'; did you mean `data`?"),
        ("FOREWARN_KAFKA__PARTITIONS", "many", "must be a valid integer, not 'many'"),
        ("FOREWARN_KAFKA__PARTITIONS", "0", "greater than or equal to 1"),
        ("FOREWARN_TICK_SECONDS", "inf", "tick_seconds: "),
        ("FOREWARN_COUPONS__URL", "http://shop.test/", "needs a secret"),
        ("FOREWARN_ALERTMANAGER__URL", "ftp://x", "http:// or https://"),
        ("FOREWARN_KAFKA", "x", "cannot be read"),
    ],
)
def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    """The message has the variable's name, what was expected and what was probably meant."""
    monkeypatch.setenv(name, value)
    (problem,) = problems()
    assert said in problem
    assert problem.startswith(name if value != "x" or "__" in name else "FOREWARN_")


def test_a_wrong_line_of_the_file_is_named(tmp_path: Path) -> None:
    """The message has the file, the line and the field."""
    path = tmp_path / "settings.yaml"
    path.write_text("kafka:\n  brokers: a:1\n  prefx: x\n", encoding="utf-8")
    assert problems(path) == [f"{path}:3: kafka.prefx: unknown key; did you mean `prefix`?"]


SECRETS = {
    "FOREWARN_REDIS__URL": "redis://user:geheim@cache:6379/1",
    "FOREWARN_COUPONS__SECRET": "whsec_geheim",
    "FOREWARN_NOTIFICATIONS__SECRET": "whsec_geheim",
}


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither printing nor dumping the settings shows a secret, also not inside a URL."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    settings = Settings.load()
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert "geheim" not in text
    assert settings.redis.location == "redis://cache:6379/1"
    assert settings.redis.url.get_secret_value() == SECRETS["FOREWARN_REDIS__URL"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FOREWARN_REDIS__URL", "http://user:geheim@cache"),
        ("FOREWARN_COUPONS__URL", "https://user:geheim@shop.test/"),
        ("FOREWARN_COUPONS", '{"secret": ["geheim"]}'),
        ("FOREWARN_COUPONS", '{"secret": "geheim"'),
    ],
)
def test_errors_do_not_show_secrets(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """Neither the message nor what it was raised from repeats a wrong value of a secret."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        Settings.load()
    assert "geheim" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_variables_of_tests_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What steers the tests does not stop the product."""
    monkeypatch.setenv("FOREWARN_REQUIRE_REAL_PARTS", "1")
    monkeypatch.setenv("FOREWARN_KAFKA_JARS", "/jars")
    assert Settings.load().clock is Clock.BROKER


def test_the_name_of_a_variable() -> None:
    """Two underscores go one level down."""
    assert variable(("kafka", "brokers")) == "FOREWARN_KAFKA__BROKERS"


def test_every_field_says_what_it_does() -> None:
    """The reference has no field without a description."""
    missing = [
        f"{section}.{name}"
        for section, outer in Settings.model_fields.items()
        if isinstance(inner := outer.annotation, type) and issubclass(inner, BaseModel)
        for name, field in inner.model_fields.items()
        if not field.description
    ]
    assert missing == []
