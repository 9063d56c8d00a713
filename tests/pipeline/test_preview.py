"""What would be sent, as files: for a sample and for a parcel that was decided about."""

import json
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from pipeline.cli import application
from tests.pipeline.delivering import stall
from tests.real_parts import require_program


def preview(*words: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(application("preview"), ["preview", *map(str, words)])
    return result.exit_code, result.output + str(result.exception or "")


def test_a_sample(tmp_path: Path) -> None:
    """Text and HTML in both languages, and where they are."""
    code, said = preview("stalled-parcel", "--out", tmp_path, "--json")
    assert code == 0
    files = json.loads(said)["files"]
    assert sorted(Path(file).name for file in files) == [
        f"stalled-parcel.{name}" for name in ("en.html", "en.txt", "zh.html", "zh.txt")
    ]
    assert "¥5" in (tmp_path / "stalled-parcel.zh.txt").read_text("utf-8")


def test_a_parcel(tmp_path: Path) -> None:
    """The facts are those of the parcel's last decision that the rule decides."""
    decisions = tmp_path / "decisions.ndjson"
    lines = [msgspec.json.encode(stall(n, facility=f"hub-of-{n}")) for n in (1, 2)]
    decisions.write_bytes(b"\n".join(lines) + b"\n")
    words = ("stalled-parcel", "--decisions", decisions, "--out", tmp_path, "--parcel")
    assert preview(*words, "swift/P2")[0] == 0
    assert "hub-of-2" in (tmp_path / "stalled-parcel.en.html").read_text("utf-8")
    code, said = preview(*words, "P3")
    assert code != 0
    assert "decides nothing about parcel P3" in said


@pytest.mark.parametrize(("policy", "said"), [
    ("nothing-like-it", "with a message: stalled-parcel"), ("surge", "sends customers nothing"),
])  # fmt: skip
def test_rules_without_a_message(tmp_path: Path, policy: str, said: str) -> None:
    """The error says which rules have one."""
    code, output = preview(policy, "--out", tmp_path)
    assert code != 0
    assert said in output


@pytest.mark.slow
def test_a_browser_shows_it(tmp_path: Path) -> None:
    """A real browser lays it out on a phone's width without a scroll bar to the side."""
    browser = require_program("chromium", "apt-get install chromium")
    assert preview("stalled-parcel", "--out", tmp_path)[0] == 0
    page = (tmp_path / "stalled-parcel.zh.html").read_text("utf-8")
    measure = "<script>document.title = document.documentElement.scrollWidth</script>"
    (tmp_path / "narrow.html").write_text(page.replace("</body>", f"{measure}</body>"), "utf-8")
    done = subprocess.run(
        [
            *(browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=500,900"),
            *("--user-data-dir=" + str(tmp_path / "profile"), "--dump-dom"),
            (tmp_path / "narrow.html").as_uri(),
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )
    shutil.rmtree(tmp_path / "profile", ignore_errors=True)
    document = done.stdout.decode()
    width = int(document.partition("<title>")[2].partition("</title>")[0])
    assert 300 < width <= 500
