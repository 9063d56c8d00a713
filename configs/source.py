"""A file a person wrote, with the line of every value in it.

YAML is composed to nodes before it becomes values, for two reasons: nodes know their lines, and a
key given twice, which YAML's loader silently lets win, can be refused. Only plain data is built
(no tags that make objects), aliases are refused (they can grow without bound) and the file's size
is limited. TOML is read by the standard library, which knows no lines.
"""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from configs.problems import ConfigError, Location, Place, Problem, dotted

MAX_BYTES: Final = 1_048_576
MAX_DEPTH: Final = 32
_PLAIN: Final = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})

Data = dict[str, object]


@dataclass(frozen=True, slots=True)
class Source:
    """The values of one file and where they stand."""

    path: Path
    data: Data
    lines: dict[Location, int] = field(default_factory=dict)
    """Line (from 1) of each key and list item, by its location."""

    def place(self, location: Location) -> Place:
        """Return the file and the line of a location, or of the nearest thing around it."""
        for length in range(len(location), 0, -1):
            line = self.lines.get(location[:length])
            if line is not None:
                return str(self.path), line
        return str(self.path), None


def read_source(path: Path) -> Source:
    """Read a YAML or TOML file; raise `ConfigError` for what cannot be read."""
    text = _text(path)
    if path.suffix == ".toml":
        return Source(path, _toml(path, text))
    return _Reader(path).read(text)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError([Problem(str(path), None, "", f"larger than {MAX_BYTES} bytes")])
        return path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigError([Problem(str(path), None, "", f"cannot be read: {reason}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(str(path), None, "", "must be UTF-8 text")]) from error


def _toml(path: Path, text: str) -> Data:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([Problem(str(path), None, "", f"not TOML: {error}")]) from error


class _Reader:
    """Turns YAML nodes into values and notes their lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[Location, int] = {}
        self._problems: list[Problem] = []
        self._loader = yaml.SafeLoader("")

    def read(self, text: str) -> Source:
        try:
            self._refuse_aliases(text)
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.YAMLError as error:
            raise ConfigError([self._broken(error)]) from error
        except RecursionError as error:
            raise ConfigError([self._problem(None, (), "nested too deeply")]) from error
        data = {} if node is None else self._value(node, ())
        if not self._problems and not isinstance(data, dict):
            self._problems.append(self._problem(node, (), "must be a mapping of keys to values"))
        if self._problems:
            raise ConfigError(self._problems)
        assert isinstance(data, dict)
        return Source(self._path, data, self._lines)

    def _refuse_aliases(self, text: str) -> None:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else None
                said = "aliases (*name) are not allowed"
                raise ConfigError([Problem(str(self._path), line, "", said)])

    def _value(self, node: yaml.Node, location: Location) -> object:
        if len(location) > MAX_DEPTH:
            self._problems.append(self._problem(node, location, "nested too deeply"))
            return None
        if isinstance(node, yaml.CollectionNode) and node.tag not in _PLAIN:
            self._problems.append(self._problem(node, location, "is not plain data"))
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, location)
        if isinstance(node, yaml.SequenceNode):
            return [self._item(item, (*location, i)) for i, item in enumerate(node.value)]
        return self._scalar(node, location)

    def _item(self, node: yaml.Node, location: Location) -> object:
        self._lines[location] = node.start_mark.line + 1
        return self._value(node, location)

    def _mapping(self, node: yaml.MappingNode, location: Location) -> Data:
        data: Data = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*location, key)
            if not isinstance(key_node, yaml.ScalarNode):
                self._problems.append(self._problem(key_node, location, "keys must be plain text"))
            elif key in data:
                first = self._lines[here]
                said = f"given twice; first on line {first}"
                self._problems.append(self._problem(key_node, here, said))
            else:
                self._lines[here] = key_node.start_mark.line + 1
                data[key] = self._value(value_node, here)
        return data

    def _scalar(self, node: yaml.Node, location: Location) -> object:
        try:
            value: object = self._loader.construct_object(node)
        except (yaml.YAMLError, ValueError):
            self._problems.append(self._problem(node, location, "is not plain data"))
            return None
        return value

    def _problem(self, node: yaml.Node | None, location: Location, expected: str) -> Problem:
        line = None if node is None else node.start_mark.line + 1
        return Problem(str(self._path), line, dotted(location), expected)

    def _broken(self, error: yaml.YAMLError) -> Problem:
        mark = getattr(error, "problem_mark", None)
        said = getattr(error, "problem", None) or "broken"
        return Problem(
            str(self._path), None if mark is None else mark.line + 1, "", f"not YAML: {said}"
        )
