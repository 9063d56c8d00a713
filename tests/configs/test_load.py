"""A directory of YAML becomes a checked configuration, or everything that is wrong with it."""

import shutil
from pathlib import Path

import pytest

from configs.load import DETECTORS, POLICIES, SHIPPED, load_config
from configs.problems import ConfigError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (DETECTORS, POLICIES):
        shutil.copy(SHIPPED / name, tmp_path / name)
    return tmp_path


def replace(path: Path, old: str, new: str) -> int:
    """Replace text in a file and return the line it is on."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def problems(folder: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(folder)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_the_shipped_configuration_is_valid(folder: Path) -> None:
    """The files in the package load, and a copy of them is the same configuration."""
    shipped, copied = load_config(), load_config(folder)
    assert shipped.version == copied.version
    assert shipped.policies_version == copied.policies_version
    assert copied.files == (folder / DETECTORS, folder / POLICIES)


def test_comments_and_order_do_not_change_the_version(folder: Path) -> None:
    """The version is that of the content; defaults written out are the same content."""
    before = load_config(folder).version
    (folder / DETECTORS).write_text("complaints: {repeats: 2}\n# a comment\n", encoding="utf-8")
    assert load_config(folder).version == before
    (folder / DETECTORS).write_text("complaints: {repeats: 3}\n", encoding="utf-8")
    assert load_config(folder).version != before


def test_a_change_of_policies_leaves_the_detectors_version(folder: Path) -> None:
    """Decisions carry the version of what made them, which policies do not."""
    before = load_config(folder)
    replace(folder / POLICIES, "amount_minor: 500,", "amount_minor: 600,")
    after = load_config(folder)
    assert after.version == before.version
    assert after.policies_version != before.policies_version


def test_a_misspelt_key_is_named_with_line_and_suggestion(folder: Path) -> None:
    """An analyst sees file, line, field and what was probably meant."""
    line = replace(folder / DETECTORS, "customs_days", "custom_days")
    assert problems(folder) == [
        f"{DETECTORS}:{line}: parcels.custom_days: unknown key; did you mean `customs_days`?"
    ]


def test_all_problems_of_both_files_are_said_at_once(folder: Path) -> None:
    """Nobody has to mend one mistake to hear of the next."""
    first = replace(folder / DETECTORS, "repeats: 2", "repeats: many")
    second = replace(folder / DETECTORS, "late_cost: 0.018", "late_cost: -1.5")
    third = replace(folder / POLICIES, "upgrade: express", "upgrade: expres")
    assert [text.rsplit(": ", 1)[0] for text in problems(folder)] == [
        f"{DETECTORS}:{second}: parcels.late_cost",
        f"{DETECTORS}:{first}: complaints.repeats",
        f"{POLICIES}:{third}: policies[0].remedy.upgrade",
    ]
    assert "did you mean `express`?" in problems(folder)[2]


def test_lateness_must_be_the_same_in_all_sections(folder: Path) -> None:
    """A count that one core calls late and another does not would be lost."""
    (folder / DETECTORS).write_text("flow: {allowed_lateness_seconds: 7200}\n", encoding="utf-8")
    assert "allowed_lateness_seconds must be the same in all sections" in problems(folder)[0]


def test_a_file_that_is_not_there_is_the_shipped_one(folder: Path) -> None:
    """Who changes detectors only need not copy the policies."""
    (folder / POLICIES).unlink()
    config = load_config(folder)
    assert config.files == (folder / DETECTORS, SHIPPED / POLICIES)


def test_unknown_files_and_empty_directories_are_errors(folder: Path, tmp_path: Path) -> None:
    """A misspelt file name must not mean that the shipped file is used silently."""
    (folder / DETECTORS).rename(folder / "detector.yaml")
    assert problems(folder) == ["detector.yaml: unknown file; did you mean `detectors.yaml`?"]
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "must hold detectors.yaml or policies.yaml" in problems(empty)[0]
    assert "must be a directory" in problems(tmp_path / "nowhere")[0]
