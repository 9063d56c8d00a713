"""What the repository promises as a product: packaging, lock, commands, deployment files."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from packaging.requirements import Requirement
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from pipeline import metrics, money_metrics
from pipeline.cli import ENTRIES, Entry, application
from pipeline.ingest import metrics as ingest_metrics
from tests.real_parts import require_program

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("pipeline", "detectors", "sinks", "configs", "simulator")


def text(path: str) -> str:
    return (ROOT / path).read_text("utf-8")


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Output of a command that must succeed."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def tracked_files() -> list[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    return [name for name in run("git", "ls-files", "-z").split("\0") if (ROOT / name).is_file()]


# ------------------------------------------------------------------------------------- the lock


LOCKS: Final = ("requirements.lock", "requirements-bench.lock", "requirements-peers.lock")


def locked(path: str = "requirements.lock") -> dict[str, str]:
    """Each requirement of a lock file by name, with its hashes."""
    blocks = re.split(r"\n(?=[a-zA-Z0-9])", text(path).strip())
    return {re.split(r"[=\[ ]", block)[0]: block for block in blocks}


@pytest.mark.parametrize("path", LOCKS)
def test_every_requirement_of_a_lock_is_exact_and_hashed(path: str) -> None:
    """Each is pinned with == and has at least one SHA-256."""
    for name, block in locked(path).items():
        assert re.match(r"[A-Za-z0-9._-]+==\S+", block), name
        assert "--hash=sha256:" in block, name


@pytest.mark.parametrize("path", LOCKS)
def test_lock_names_no_registry(path: str) -> None:
    """The lock can be installed from any index."""
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", text(path))


def test_lock_satisfies_the_project() -> None:
    """Every direct requirement is in the lock at a version that it allows."""
    project = tomllib.loads(text("pyproject.toml"))
    wanted = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    wanted += project["project"]["optional-dependencies"]["dev"]
    wanted += project["project"]["optional-dependencies"]["parquet"]
    lock = locked()
    for requirement in map(Requirement, wanted):
        name = requirement.name.lower()
        found = re.match(r"\S+==(\S+)", lock[name])
        assert found is not None, name
        assert requirement.specifier.contains(found[1], prereleases=True), name


@pytest.mark.parametrize("group", ["bench", "peers"])
def test_locks_of_the_groups_satisfy_the_project(group: str) -> None:
    """What benchmarks need besides is in a lock of its own, at a version that is allowed."""
    lock = locked(f"requirements-{group}.lock")
    for line in tomllib.loads(text("pyproject.toml"))["dependency-groups"][group]:
        requirement = Requirement(line)
        found = re.match(r"\S+==(\S+)", lock[requirement.name.lower()])
        assert found is not None, line
        assert requirement.specifier.contains(found[1], prereleases=True), line


# ---------------------------------------------------------------------------------- the package


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    run(*build, "--disable-pip-version-check", "--wheel-dir", folder, ROOT)
    (built,) = folder.glob("forewarn-*.whl")
    return built


@pytest.mark.slow
def test_wheel_holds_everything_that_is_read_at_run_time(wheel: Path) -> None:
    """Configs, schemas, scripts and templates of the packages are in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    wanted = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.suffix in {".yaml", ".json", ".lua", ".txt", ".j2", ".py"}
    }
    assert {"configs/detectors.yaml", "pipeline/schemas/decision.json"} <= wanted
    assert not wanted - packed


@pytest.mark.slow
def test_installed_wheel_works_outside_of_the_repository(wheel: Path, tmp_path: Path) -> None:
    """The command answers and finds its shipped configuration where there is no checkout."""
    place = tmp_path / "installed"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    run(*install, "--disable-pip-version-check", "--target", place, wheel)
    script = (
        f"import sys; sys.path.insert(0, {str(place)!r}); import pipeline.cli, configs.load; "
        f"assert pipeline.cli.__file__.startswith({str(place)!r}); "
        "assert configs.load.load_config(None).version; pipeline.cli.main(['--version'])"
    )
    assert run(sys.executable, "-c", script, cwd=tmp_path).startswith("forewarn ")


# --------------------------------------------------------------------------------- the commands


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", text("Makefile"), flags=re.MULTILINE))


def test_make_has_its_targets() -> None:
    """What newcomers are told to type exists."""
    assert {"demo", "test", "check", "bench", "format", "clean", "lock"} <= make_targets()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_commands_of_the_documents_exist(page: str) -> None:
    """Every `make x` and `forewarn x` in a block of code or in code quotes is a real one."""
    content = text(page)
    code = re.findall(r"```.*?```|`[^`\n]+`", content, flags=re.DOTALL)
    joined = "\n".join(part.strip("`") for part in code)
    made = set(re.findall(r"^(?:\$ )?make ([a-z]+)", joined, flags=re.MULTILINE))
    called = set(re.findall(r"^(?:\$ )?forewarn ([a-z][a-z-]+)", joined, flags=re.MULTILINE))
    assert made
    assert made <= make_targets()
    assert called <= {entry.name for entry in ENTRIES}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_command_says_how_it_is_used(entry: Entry) -> None:
    """The help of each command can be loaded and shows an example."""
    shown = CliRunner().invoke(application(entry.name), [entry.name, "--help"])
    assert shown.exit_code == 0, shown.output
    assert "Usage:" in shown.output


def test_ci_script_is_executable_bash() -> None:
    """`.ci/run` can be started and parses."""
    assert os.access(ROOT / ".ci/run", os.X_OK)
    run("bash", "-n", ".ci/run")


# ---------------------------------------------------------------------------------- the texts


def test_paths_named_by_the_contributors_guide_exist() -> None:
    """CONTRIBUTING.md keeps up with the tree."""
    named = re.findall(r"`([a-z.]+(?:/[\w.-]+)+)`", text("CONTRIBUTING.md"))
    assert named
    missing = [path for path in named if not (ROOT / path).exists()]
    assert not missing


def test_files_speak_of_the_project_only() -> None:
    """No paths of one machine, no registries' hosts, nothing left to be done."""
    # Written backwards, or this file would be found.
    backwards = ["/krow/", "ceps/pmt/", "eborp/pmt/", "/toor/", "detsohnohtyp"]
    forbidden = re.compile("|".join(word[::-1] for word in backwards) + r"|\b(TO[D]O|FI[X]ME)\b")
    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name in tracked_files()
        if Path(name).suffix not in {".gz", ".zst", ".csv", ".png", ".parquet"}
        for number, line in enumerate(text(name).splitlines(), start=1)
        if forbidden.search(line)
    ]
    assert not found


def test_detectors_call_nothing_impure() -> None:
    """What banned imports cannot see: built-ins that read, write, ask or name an address."""
    impure = {"id", "open", "print", "input", "eval", "exec", "__import__"}
    found = [
        f"{path.name}:{node.lineno}: {node.func.id}"
        for path in sorted((ROOT / "detectors").glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in impure
    ]
    assert not found


# ------------------------------------------------------------------------------- the deployment


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(text("docker-compose.yml"))
    return loaded


def test_compose_file_is_valid() -> None:
    """docker-compose itself accepts it."""
    program = require_program("docker-compose", "apt-get install docker-compose")
    run(program, "config", "--quiet")


def test_images_are_pinned() -> None:
    """Each image of the compose file and the Dockerfile has a version with at least two parts."""
    images = [service["image"] for service in compose()["services"].values()]
    images += re.findall(r"^FROM (\S+)", text("Dockerfile"), flags=re.MULTILINE)
    assert [image for image in images if not re.search(r":v?\d+\.\d+", image)] == []


def test_ports_are_bound_to_loopback() -> None:
    """Nothing of the compose file can be reached from outside of the machine."""
    ports = [
        port for service in compose()["services"].values() for port in service.get("ports", [])
    ]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_every_lasting_service_has_a_health_check() -> None:
    """All but the job that makes the topics."""
    services = compose()["services"]
    assert {name for name, service in services.items() if "healthcheck" not in service} == {
        "topics"
    }


def test_dockerfile_copies_every_package() -> None:
    """The image is built of the packages of the wheel, and of nothing that is ignored."""
    copied = set(re.findall(r"^COPY (\w+) \1$", text("Dockerfile"), flags=re.MULTILINE))
    allowed = set(re.findall(r"^!(\w+)$", text(".dockerignore"), flags=re.MULTILINE))
    assert copied == set(PACKAGES) <= allowed


def exposed(registry: CollectorRegistry) -> Iterator[str]:
    """Names of the series that a registry exposes."""
    for metric in registry.collect():
        if metric.type == "counter":
            yield f"{metric.name}_total"
        elif metric.type == "histogram":
            yield from (f"{metric.name}_{part}" for part in ("bucket", "sum", "count"))
        else:
            yield metric.name


def queries() -> Iterator[tuple[str, str]]:
    """Where each query of dashboards and rules stands, and the query."""
    for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json")):
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            for target in panel["targets"]:
                yield f"{path.name}: {panel['title']}", target["expr"]
    for group in yaml.safe_load(text("deploy/prometheus/alerts.yml"))["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]


def test_dashboards_and_alerts_ask_for_metrics_that_exist() -> None:
    """Every forewarn_… of a query is exposed by the worker, by deliver or by the endpoint."""
    registries = (metrics.REGISTRY, money_metrics.REGISTRY, ingest_metrics.REGISTRY)
    known = {name for registry in registries for name in exposed(registry)}
    asked = {(where, name) for where, q in queries() for name in re.findall(r"forewarn_\w+", q)}
    assert len(asked) > 20
    assert sorted(each for each in asked if each[1] not in known) == []


def test_prometheus_accepts_its_configuration() -> None:
    """The configuration is valid, and the alerts fire when they should and not else."""
    program = require_program("promtool", "apt-get install prometheus")
    run(program, "check", "config", "deploy/prometheus/prometheus.yml")
    run(program, "test", "rules", "deploy/prometheus/alerts_test.yml")


def test_alertmanager_accepts_its_configuration() -> None:
    """Its own checker finds nothing."""
    program = require_program("amtool", "apt-get install prometheus-alertmanager")
    run(program, "check-config", "deploy/alertmanager/alertmanager.yml")
