"""From a directory of YAML to a checked configuration, or to a list of everything wrong with it.

A directory holds `detectors.yaml`, `policies.yaml` and the folder `templates`; a file that is not
there is taken from those that ship with the package. Any other YAML file is refused, because a
misspelt name would mean that the shipped file is used silently.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ValidationError

from configs.policy_schema import Policies
from configs.problems import ConfigError, Problem, dotted, nearest, problems_of
from configs.schema import ComplaintsConfig, Detectors, FlowConfig, ParcelsConfig
from configs.source import Source, read_source
from configs.texts import FOLDER, Texts, load_texts

__all__ = ["SHIPPED", "Config", "ConfigError", "load_config"]

SHIPPED: Final = Path(__file__).parent
"""Where the configuration that ships lies."""
DETECTORS: Final = "detectors.yaml"
POLICIES: Final = "policies.yaml"

_Model = TypeVar("_Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Config:
    """A checked configuration."""

    detectors: Detectors
    policies: Policies
    version: str
    """Hash of what the detectors are told: it stands in the evidence of every decision, so a
    change of policies alone leaves decisions as they are."""
    policies_version: str
    files: tuple[Path, ...]
    """The files it was read from."""
    texts: Texts
    """What customers read."""
    source: Source
    """Where the policies were written, for those who find fault with them."""

    @property
    def parcels(self) -> ParcelsConfig:
        """What the parcels core is built from."""
        return self.detectors.parcels

    @property
    def complaints(self) -> ComplaintsConfig:
        """What the complaints core is built from."""
        return self.detectors.complaints

    @property
    def flow(self) -> FlowConfig:
        """What the flow core is built from."""
        return self.detectors.flow


def load_config(directory: Path | None = None) -> Config:
    """Read and check a configuration (None: the one that ships).

    Raises `ConfigError` with all problems of all files.
    """
    problems = [] if directory is None else _strangers(directory)
    detectors_path = _path(directory, DETECTORS)
    policies_path = _path(directory, POLICIES)
    detectors, _ = _read(detectors_path, Detectors, problems)
    policies, source = _read(policies_path, Policies, problems)
    texts = _texts(directory, problems)
    if policies is not None and texts is not None:
        problems += _unwritten(policies, source, texts)
    if problems or detectors is None or policies is None or texts is None:
        raise ConfigError(problems)
    return Config(
        detectors,
        policies,
        version=_version(detectors),
        policies_version=_version(policies),
        files=(detectors_path, policies_path),
        texts=texts,
        source=source,
    )


def _texts(directory: Path | None, problems: list[Problem]) -> Texts | None:
    try:
        own = None if directory is None else directory / FOLDER
        return load_texts(SHIPPED / FOLDER, own)
    except ConfigError as error:
        problems += error.problems
        return None


def _unwritten(policies: Policies, source: Source, texts: Texts) -> list[Problem]:
    """Find rules whose text nobody has written."""
    problems = []
    for index, rule in enumerate(policies.policies):
        name = rule.remedy.template if rule.remedy else None
        if name is not None and name not in texts.names:
            location = ("policies", index, "remedy", "template")
            said = f"there is no text {name!r}; known: {', '.join(sorted(texts.names))}"
            suggestion = nearest(name, texts.names)
            file, line = source.place(location)
            problems.append(Problem(file, line, dotted(location), said, suggestion))
    return problems


def _path(directory: Path | None, name: str) -> Path:
    mine = None if directory is None else directory / name
    return mine if mine is not None and mine.exists() else SHIPPED / name


def _strangers(directory: Path) -> list[Problem]:
    """Find what makes a directory no configuration: not there, empty, or with unknown files."""
    if not directory.is_dir():
        return [Problem(str(directory), None, "", "must be a directory of YAML files")]
    found = {path.name for path in directory.iterdir() if path.suffix in {".yaml", ".yml"}}
    known = {DETECTORS, POLICIES}
    if not found:
        said = f"must hold {DETECTORS} or {POLICIES}"
        return [Problem(str(directory), None, "", said)]
    return [
        Problem(str(directory / name), None, "", "unknown file", nearest(name, known))
        for name in sorted(found - known)
    ]


def _read(path: Path, model: type[_Model], problems: list[Problem]) -> tuple[_Model | None, Source]:
    try:
        source = read_source(path)
    except ConfigError as error:
        problems += error.problems
        return None, Source(path, {})
    try:
        return model.model_validate(source.data), source
    except ValidationError as error:
        problems += problems_of(error, model, source.place)
        return None, source


def _version(model: BaseModel) -> str:
    """Return a short hash of the canonical content, whatever the file's order and comments."""
    text = json.dumps(model.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
