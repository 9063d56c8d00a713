"""The command line: commands by name, help with an example, exit codes 0, 1 and 2."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from configs.load import SHIPPED
from configs.problems import ConfigError, Problem
from pipeline import __version__, cli, failures
from pipeline.stops import SourceGap

ROOT = Path(__file__).parent.parent.parent


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a user does."""
    environment = {n: v for n, v in os.environ.items() if not n.startswith("FOREWARN_")}
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *words],
        env=environment | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=ROOT,
    )


def test_the_version_is_that_of_the_package() -> None:
    """`forewarn --version` says one line."""
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"forewarn {__version__}\n")


def test_help_lists_every_command_and_imports_none() -> None:
    """The list of commands needs no broker library, so it comes quickly."""
    code = (
        "import sys; from pipeline.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "slow = {'faust', 'confluent_kafka', 'river', 'numpy', 'aiohttp'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]"
    for entry in cli.ENTRIES:
        assert entry.name in done.stdout


@pytest.mark.parametrize("entry", cli.ENTRIES, ids=lambda entry: entry.name)
def test_every_command_has_help_with_an_example(entry: cli.Entry) -> None:
    """A command and each of its sub-commands show how they are used."""
    target = cli.load(entry)
    paths = [[entry.name]]
    if isinstance(target, typer.Typer):
        paths = [[entry.name, str(command.name)] for command in target.registered_commands]
    for path in paths:
        shown = CliRunner().invoke(cli.application(entry.name), [*path, "--help"])
        assert shown.exit_code == 0
        assert "Example:" in shown.output
        assert f"forewarn {' '.join(path)}" in " ".join(shown.output.split())


def test_a_misspelt_command_is_a_usage_error_with_a_suggestion() -> None:
    """Exit code 2, and what was probably meant."""
    done = run("chek")
    assert done.returncode == 2
    assert "check" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_settings_are_a_usage_error() -> None:
    """Every command that reads settings names the wrong variable and ends with 2."""
    done = run("topics", "check", FOREWARN_KAFKA__BROKRS="x")
    assert done.returncode == 2
    assert done.stderr == (
        "error: FOREWARN_KAFKA__BROKRS: kafka.brokrs: unknown key; did you mean `brokers`?\n"
    )


def test_the_settings_file_reaches_the_command(tmp_path: Path) -> None:
    """`--settings FILE` before the command is what the command reads."""
    path = tmp_path / "settings.yaml"
    path.write_text("kafka: {prefix: shop.eu, brokers: nowhere.invalid:1, partition: 3}\n")
    done = run("--settings", str(path), "check")
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {path}:1: kafka.partition: unknown key")


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["demo"], "demo"),
        (["--settings", "check", "worker"], "worker"),
        (["--settings=x", "worker", "--help"], "worker"),
        (["--help"], None),
        ([], None),
    ],
)
def test_the_wanted_command_is_found(words: list[str], command: str | None) -> None:
    """The value of an option is not taken for a command."""
    assert cli.wanted(words) == command


def test_check_of_the_shipped_configuration() -> None:
    """The configuration in the package is right, and says so for people and programs."""
    assert run("check").returncode == 0
    done = run("check", "--json", "--config", str(SHIPPED))
    report = json.loads(done.stdout)
    assert report["ok"] is True
    assert len(report["version"]) == 12


def test_check_of_a_wrong_configuration(tmp_path: Path) -> None:
    """File, line, field, what was expected and a suggestion; exit code 2."""
    shutil.copy(SHIPPED / "policies.yaml", tmp_path)
    (tmp_path / "detectors.yaml").write_text("parcels:\n  custom_days: 7\n", encoding="utf-8")
    done = run("check", "--config", str(tmp_path))
    assert done.returncode == 2
    said = f"{tmp_path}/detectors.yaml:2: parcels.custom_days: unknown key"
    assert done.stderr == f"error: {said}; did you mean `customs_days`?\n"
    (problem,) = json.loads(run("check", "--json", "--config", str(tmp_path)).stdout)["problems"]
    assert (problem["line"], problem["suggestion"]) == (2, "customs_days")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ConfigError([Problem("a.yaml", 3, "b", "unknown key", "c")]), 2, "a.yaml:3: b: unknown"),
        (failures.Failure("do this"), 1, "error: do this\n"),
        (SourceGap("records are gone"), 5, "error: records are gone\n"),
        (FileNotFoundError(2, "No such file", "x.yaml"), 1, "error: x.yaml: No such file\n"),
        (ZeroDivisionError("oh"), 1, "ZeroDivisionError: oh\nFOREWARN_LOG__LEVEL=debug shows"),
    ],
)
def test_failures_are_words_and_a_code(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int, said: str
) -> None:
    """What went wrong is one message without a traceback, and an exit code."""
    assert failures.report(error) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


def test_an_unreachable_part_is_named_with_its_setting() -> None:
    """Whoever has no Redis running is told where its address is set."""
    import redis

    said = failures.describe(redis.ConnectionError("connection refused"))
    assert said.startswith("connection refused\n")
    assert "FOREWARN_REDIS__URL" in said
