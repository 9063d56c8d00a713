"""The generated reference and the editors' schemas are those of the models."""

import json
from pathlib import Path

import pytest

from configs.problems import model_in
from pipeline import reference
from pipeline.settings import Settings, variable


@pytest.mark.parametrize(
    ("path", "text"), list(reference.files()), ids=lambda value: Path(str(value)).name
)
def test_generated_files_are_up_to_date(path: Path, text: str) -> None:
    """Whoever changes a model writes the reference anew: python -m pipeline.reference."""
    assert path.read_text(encoding="utf-8") == text


def test_every_setting_is_in_the_reference() -> None:
    """Each variable can be looked up."""
    text = reference.reference()
    for section, outer in Settings.model_fields.items():
        inner = model_in(outer.annotation)
        for name in inner.model_fields if inner else ():
            assert f"`{variable((section, name))}`" in text


def test_check_says_what_is_out_of_date(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With --check nothing is written and the exit code tells; without, the files are made."""
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    assert reference.main(["--check"]) == 1
    assert "docs/configuration.md is out of date" in capsys.readouterr().out
    assert not (tmp_path / "docs").exists()
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    schema = json.loads((tmp_path / "configs/schemas/detectors.schema.json").read_text())
    assert schema["additionalProperties"] is False
