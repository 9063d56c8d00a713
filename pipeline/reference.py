"""Writes the references and the JSON Schemas editors use, from models and tables.

python -m pipeline.reference            # write
python -m pipeline.reference --check    # exit code 1 when a file is not what it should be
"""

import argparse
import enum
import json
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from configs import mapping
from configs.case_schema import Cases
from configs.mapping import Mapping
from configs.policy_schema import Policies
from configs.problems import model_in
from configs.schema import Detectors
from pipeline.adapters.reference import vocabularies
from pipeline.settings import Settings, variable

ROOT: Final = Path(__file__).parent.parent
_FILES: Final[dict[str, type[BaseModel]]] = {
    "detectors": Detectors,
    "policies": Policies,
    "settings": Settings,
    "mapping": Mapping,
    "cases": Cases,
}
_HEAD: Final = """\
# Configuration reference

Generated from the models by `python -m pipeline.reference`; a test keeps it true.

Two things are configured apart. **Settings** say where Forewarn connects to and how it runs: one
YAML or TOML file (`--settings FILE` or `FOREWARN_SETTINGS`) and `FOREWARN_…` variables, which win
over it. **The configuration** says what is detected and what customers are given: a directory with
`detectors.yaml` and `policies.yaml` (`--config DIR`, or the setting `config`); a file that is not
there is the one that ships. `forewarn check` tells where anything is wrong, with file, line and
field. Editors that know `yaml-language-server` complete and check the files by the schemas in
`configs/schemas/`.

Money is in minor units: 500 is ¥5. Times have their unit in their name.
"""


def files() -> Iterator[tuple[Path, str]]:
    """Yield every generated file and what it should hold."""
    for name, model in _FILES.items():
        yield ROOT / "configs" / "schemas" / f"{name}.schema.json", schema(name, model)
    yield ROOT / "docs" / "configuration.md", reference()
    yield ROOT / "docs" / "vocabularies.md", vocabularies()


def schema(name: str, model: type[BaseModel]) -> str:
    """Return the JSON Schema of a file."""
    content = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Forewarn {name}",
        **{key: value for key, value in model.model_json_schema().items() if key != "title"},
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def reference() -> str:
    """Return docs/configuration.md."""
    parts = [_HEAD, "## Settings\n", *_settings(Settings)]
    for name, model in (("detectors", Detectors), ("policies", Policies)):
        parts += [f"## {name}.yaml\n", *_sections(model, "")]
    parts += ["## A mapping (`forewarn ingest --from FILE.yaml`)\n", *_mapping()]
    return "\n".join(parts).rstrip() + "\n"


def _settings(model: type[BaseModel]) -> Iterator[str]:
    plain = {n: f for n, f in model.model_fields.items() if model_in(f.annotation) is None}
    yield _table("", plain, variables=True)
    for name, field in model.model_fields.items():
        inner = model_in(field.annotation)
        if inner is not None:
            yield f"### {name}\n\n{_first_line(inner)}\n"
            yield _table(name, inner.model_fields, variables=True)
            for key, each in inner.model_fields.items():
                deeper = model_in(each.annotation)
                if deeper is not None:
                    yield from _sections(deeper, f"{name}.{key}{_inside(each.annotation)}")


def _mapping() -> Iterator[str]:
    """Yield each kind of section once: most fields of a mapping are read the same way."""
    yield _table("", Mapping.model_fields, variables=False)
    kinds: dict[str, list[str]] = {}
    for name in ("tracking", "complaints", "csv"):
        model = model_in(Mapping.model_fields[name].annotation)
        assert model is not None
        yield f"### {name}\n\n{_first_line(model)}\n"
        yield _table("", model.model_fields, variables=False)
        for field, info in model.model_fields.items():
            if (inner := model_in(info.annotation)) is not None:
                kinds.setdefault(inner.__name__, []).append(f"`{field}`")
    for name, fields in kinds.items():
        column = getattr(mapping, name)
        yield f"### {', '.join(dict.fromkeys(fields))}\n\n{_first_line(column)}\n"
        yield _table("", column.model_fields, variables=False)


def _sections(model: type[BaseModel], path: str) -> Iterator[str]:
    """Yield one table for each model, the inner ones after it."""
    if path:
        yield f"### {path}\n\n{_first_line(model)}\n"
    yield _table(path, model.model_fields, variables=False)
    for name, field in model.model_fields.items():
        inner = model_in(field.annotation)
        if inner is not None:
            here = f"{path}.{name}" if path else name
            yield from _sections(inner, here + _inside(field.annotation))


def _inside(annotation: object) -> str:
    """Return `[]` for a list of sections and `.NAME` for named ones."""
    origin: object = typing.get_origin(annotation)
    if origin is dict:
        return ".NAME"
    return "[]" if origin in {tuple, list} else ""


def _table(path: str, fields: dict[str, FieldInfo], *, variables: bool) -> str:
    rows = ["| key | default | what it does |", "|---|---|---|"]
    for name, field in fields.items():
        key = f"`{name}`"
        if variables:
            location = (path, name) if path else (name,)
            key += f"<br>`{variable(location)}`"
        text = " ".join((field.description or _first_line(model_in(field.annotation))).split())
        choices = _choices(field.annotation)
        text += f" One of {choices}." if choices else ""
        rows.append(f"| {key} | {_default(field)} | {text}{_range(field)} |")
    return "\n".join(rows) + "\n"


def _default(field: FieldInfo) -> str:
    if model_in(field.annotation) is not None:
        return "required; see below" if field.is_required() else "see below"
    if field.default is PydanticUndefined:
        return "required" if field.default_factory is None else "none"
    value: Any = field.default
    if isinstance(value, SecretStr):
        return f"`{value.get_secret_value()}`"  # a default is no secret
    if value is None:
        return "none"
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, dict):
        return f"{len(value)} words" if value else "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def _choices(annotation: object) -> str:
    if isinstance(annotation, type) and issubclass(annotation, enum.StrEnum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    for argument in typing.get_args(annotation):
        if found := _choices(argument):
            return found
    return ""


def _range(field: FieldInfo) -> str:
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    limits = [
        f"{sign} {getattr(constraint, name):g}"
        for constraint in field.metadata
        for name, sign in signs.items()
        if getattr(constraint, name, None) is not None
    ]
    return f" ({', '.join(limits)})" if limits else ""


def _first_line(model: type[BaseModel] | None) -> str:
    return "" if model is None else (model.__doc__ or "").split("\n\n", 1)[0].strip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or say which are out of date."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say what is out of date")
    given = parser.parse_args(arguments)
    stale = [
        (path, text)
        for path, text in files()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    for path, text in stale:
        if not given.check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        word = "is out of date: python -m pipeline.reference" if given.check else "written"
        print(f"{path.relative_to(ROOT)} {word}")  # noqa: T201 - what it is asked for
    return 1 if stale and given.check else 0


if __name__ == "__main__":
    raise SystemExit(main())
