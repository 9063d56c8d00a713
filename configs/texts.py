"""The texts customers read: those that ship, and those of a configuration's folder `templates`.

A text is one file a language, `NAME.LANGUAGE.txt`: its first line is the subject, the rest are
paragraphs. What is said of facts and gifts (`words.LANGUAGE.yaml`) stands beside them; a file of
the same name in one's own folder takes the place of the shipped one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from configs.problems import ConfigError, Problem, nearest
from configs.source import MAX_BYTES, read_source

FOLDER: Final = "templates"
LANGUAGES: Final = ("en", "zh")
WORDS: Final = tuple(f"words.{language}.yaml" for language in LANGUAGES)


@dataclass(frozen=True, slots=True)
class Texts:
    """Sources of texts and words, and where each was read."""

    sources: Mapping[str, str]
    """By file name."""
    words: Mapping[str, Mapping[str, str]]
    """Phrases by language and key."""
    paths: Mapping[str, Path]

    @property
    def names(self) -> frozenset[str]:
        """The texts there are, by what policies call them."""
        return frozenset(name.split(".", 1)[0] for name in self.sources if name.endswith(".txt"))

    def source(self, name: str, language: str) -> str:
        """Return a text's source; raises `KeyError`."""
        return self.sources[f"{name}.{language}.txt"]

    def path(self, name: str, language: str) -> Path:
        """Return the file of a text."""
        return self.paths[f"{name}.{language}.txt"]


def load_texts(shipped: Path, own: Path | None) -> Texts:
    """Read the texts of a folder over those that ship; raises `ConfigError` with all problems."""
    paths = {path.name: path for path in sorted(shipped.iterdir()) if _is_text(path)}
    problems: list[Problem] = []
    if own is not None and own.exists():
        mine = {path.name: path for path in sorted(own.iterdir()) if not path.is_dir()}
        problems += [_stranger(path, paths) for path in mine.values() if not _is_text(path)]
        paths |= mine
    sources = {name: _read(path, problems) for name, path in paths.items()}
    problems += _lacking(paths)
    words = {name: _words(paths[f"words.{name}.yaml"], problems) for name in LANGUAGES}
    problems += _unsaid(paths, words)
    if problems:
        raise ConfigError(problems)
    return Texts(sources, words, paths)


def _is_text(path: Path) -> bool:
    parts = path.name.split(".")
    text = len(parts) == 3 and parts[1] in LANGUAGES and parts[2] == "txt"
    return text or path.name in WORDS


def _stranger(path: Path, known: Mapping[str, Path]) -> Problem:
    said = "no text: NAME.en.txt and NAME.zh.txt are"
    return Problem(str(path), None, "", said, nearest(path.name, known))


def _lacking(paths: Mapping[str, Path]) -> list[Problem]:
    """Find texts that a language has and another has not."""
    problems = []
    for name, path in paths.items():
        stem, _, rest = name.partition(".")
        for language in LANGUAGES if rest.endswith(".txt") else ():
            if f"{stem}.{language}.txt" not in paths:
                said = f"there is no {stem}.{language}.txt beside it"
                problems.append(Problem(str(path), None, "", said))
    return problems


def _unsaid(paths: Mapping[str, Path], words: Mapping[str, dict[str, str]]) -> list[Problem]:
    """Find phrases that one language has and another has not."""
    known = {key for phrases in words.values() for key in phrases}
    return [
        Problem(str(paths[f"words.{language}.yaml"]), None, key, "required, but missing")
        for language, phrases in words.items()
        for key in sorted(known - phrases.keys())
    ]


def _read(path: Path, problems: list[Problem]) -> str:
    try:
        text = path.read_bytes()[: MAX_BYTES + 1].decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(Problem(str(path), None, "", f"cannot be read: {error}"))
        return ""
    if len(text) > MAX_BYTES:
        problems.append(Problem(str(path), None, "", f"larger than {MAX_BYTES} bytes"))
    return text


def _words(path: Path, problems: list[Problem]) -> dict[str, str]:
    try:
        return {key: str(value) for key, value in read_source(path).data.items()}
    except ConfigError as error:
        problems += error.problems
        return {}
