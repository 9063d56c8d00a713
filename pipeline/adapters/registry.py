"""Every adapter by its name."""

from typing import Final

from configs.mapping import Mapping
from pipeline.adapters.aftership import AfterShip
from pipeline.adapters.base import Adapter
from pipeline.adapters.complaint_table import ComplaintTable
from pipeline.adapters.easypost import EasyPost
from pipeline.adapters.emsevt import Emsevt
from pipeline.adapters.epcis import Epcis
from pipeline.adapters.freshdesk import Freshdesk
from pipeline.adapters.items import Options
from pipeline.adapters.native import NativeComplaints, NativeTracking
from pipeline.adapters.shippo import Shippo
from pipeline.adapters.table import Table
from pipeline.adapters.track17 import Track17
from pipeline.adapters.zendesk import Zendesk

ADAPTERS: Final[dict[str, type[Adapter]]] = {
    adapter.name: adapter
    for adapter in (
        AfterShip,
        Track17,
        EasyPost,
        Shippo,
        Emsevt,
        Epcis,
        Zendesk,
        Freshdesk,
        NativeTracking,
        NativeComplaints,
    )
}
"""Those that need no mapping."""


def adapter_of(name: str, options: Options) -> Adapter:
    """Return an adapter. Raises `KeyError` for a name that is none."""
    return ADAPTERS[name](options)


def table_of(mapping: Mapping, options: Options) -> Adapter:
    """Return the adapter of a mapping."""
    if mapping.tracking is not None:
        return Table(options, mapping)
    return ComplaintTable(options, mapping)
