"""From a source's name to its adapter."""

from dataclasses import dataclass
from pathlib import Path

from configs.mapping import CsvFormat, Mapping, load_mapping
from pipeline.adapters.base import Adapter
from pipeline.adapters.items import Options
from pipeline.adapters.registry import ADAPTERS, adapter_of, table_of
from pipeline.failures import Failure
from pipeline.ingest.settings import Ingest, Source


@dataclass(frozen=True, slots=True)
class Opened:
    """A source that is ready to read."""

    name: str
    adapter: Adapter
    layout: CsvFormat | None
    """How its text files are written, where they may be CSV."""


def open_source(name: str, ingest: Ingest, zone: str | None = None) -> Opened:
    """Return a source of the settings, an adapter, or the mapping in a YAML file.

    Raises `Failure` for a name that is none of them, `ConfigError` for a wrong mapping.
    """
    source = ingest.sources.get(name)
    if source is None and name.endswith((".yaml", ".yml")):
        source = Source(mapping=Path(name))
    elif source is None and name in ADAPTERS:
        source = Source()
    if source is None:
        known = ", ".join(sorted({*ADAPTERS, *ingest.sources}))
        raise Failure(f"no source {name!r}. Known: {known}, or a mapping as FILE.yaml")
    return opened(name, source, ingest, zone)


def opened(name: str, source: Source, ingest: Ingest, zone: str | None = None) -> Opened:
    """Return a source of the settings, ready to read. Raises as `open_source`."""
    options = options_of(source, ingest, zone)
    if source.mapping is not None:
        mapping = load_mapping(source.mapping)
        if zone is not None:
            mapping = mapping.model_copy(update={"zone": zone})
        return Opened(_label(name, mapping), table_of(mapping, options), mapping.csv)
    adapter = source.adapter or name
    if adapter not in ADAPTERS:
        raise Failure(f"source {name}: no adapter {adapter!r}. Known: {', '.join(ADAPTERS)}")
    layout = CsvFormat() if adapter == "emsevt" else None
    return Opened(name, adapter_of(adapter, options), layout)


def options_of(source: Source, ingest: Ingest, zone: str | None = None) -> Options:
    """Return what an adapter is told about a source."""
    key = ingest.pseudonym_key
    return Options(
        zone=zone or source.zone,
        zones=source.zones,
        carrier=source.carrier,
        carriers=source.carriers,
        region=source.region,
        regions=source.regions,
        values=source.values,
        awaits=source.awaits_customer,
        pseudonym_key=None if key is None else key.get_secret_value().encode(),
    )


def _label(name: str, mapping: Mapping) -> str:
    return mapping.source if name.endswith((".yaml", ".yml")) else name
