"""A file a person wrote is read with the line of every value, or refused with a reason."""

from pathlib import Path

import pytest

from configs.problems import ConfigError
from configs.source import MAX_BYTES, read_source


def written(folder: Path, text: str, name: str = "some.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def only_problem(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_source(path)
    assert len(caught.value.problems) == 1
    return str(caught.value.problems[0]).removeprefix(str(path))


def test_lines_of_keys_and_items_are_known(tmp_path: Path) -> None:
    """A location is placed where it was written, an unknown one where its parent was."""
    path = written(tmp_path, "# first\na:\n  b: 1\n  c:\n    - x: 2\n    - x: 3\n")
    source = read_source(path)
    assert source.data == {"a": {"b": 1, "c": [{"x": 2}, {"x": 3}]}}
    assert source.place(("a", "b")) == (str(path), 3)
    assert source.place(("a", "c", 1, "x")) == (str(path), 6)
    assert source.place(("a", "missing")) == (str(path), 2)
    assert source.place(("nowhere",)) == (str(path), None)


def test_toml_is_read(tmp_path: Path) -> None:
    """TOML gives values, without lines."""
    source = read_source(written(tmp_path, "[a]\nb = 1\n", "some.toml"))
    assert source.data == {"a": {"b": 1}}
    assert source.place(("a", "b"))[1] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", ":3: a: given twice; first on line 1"),
        ("a:\n  b: 1\n  b: 2\n", ":3: a.b: given twice; first on line 2"),
        ("a: &x 1\nb: *x\n", ":2: aliases (*name) are not allowed"),
        ("- 1\n", ":1: must be a mapping of keys to values"),
        ("a: [1, 2\n", ":2: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: !!python/object:os.system {}\n", ":1: a: "),
        ("? [1, 2]\n: 3\n", ":1: keys must be plain text"),
        ("a: " + "[" * 40 + "]" * 40, "nested too deeply"),
    ],
)
def test_what_yaml_lets_pass_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """Duplicate keys, aliases, tags, odd keys and deep nesting are errors with their line."""
    assert said in only_problem(written(tmp_path, text))


def test_a_tag_never_makes_an_object(tmp_path: Path) -> None:
    """A tagged scalar that is no plain data is refused and nothing is run."""
    text = "a: !!python/name:os.system ''\n"
    assert "is not plain data" in only_problem(written(tmp_path, text))


def test_an_empty_file_is_no_keys(tmp_path: Path) -> None:
    """A file of comments only means every default."""
    assert read_source(written(tmp_path, "# nothing\n")).data == {}


def test_a_missing_large_or_binary_file_is_an_error(tmp_path: Path) -> None:
    """What cannot be read is said with its reason."""
    assert "No such file" in only_problem(tmp_path / "none.yaml")
    large = written(tmp_path, "a: '" + "x" * MAX_BYTES + "'\n", "large.yaml")
    assert "larger than" in only_problem(large)
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"a: \xff\xfe\n")
    assert "UTF-8" in only_problem(binary)
    assert "not TOML" in only_problem(written(tmp_path, "a = ", "broken.toml"))
