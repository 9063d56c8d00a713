"""Events said in each vocabulary, as its provider would send them: an adapter's way back."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from detectors.events import Milestone
from pipeline.adapters.emsevt import RETAINED
from pipeline.adapters.table import VOCABULARIES


class Said(NamedTuple):
    """A scan to be said."""

    milestone: Milestone
    at: datetime


class Code(NamedTuple):
    """How a vocabulary says a milestone."""

    coarse: str
    fine: str | None


_FAMILIES = {
    "easypost": {"damaged": "failure", "lost": "failure", "delivery_exception": "failure"},
    "shippo": {"package_damaged": "TRANSIT", "package_lost": "FAILURE"},
}


def codes(name: str) -> dict[Milestone, Code]:
    """One way to say each milestone the vocabulary can say."""
    vocabulary = VOCABULARIES[name]
    found: dict[Milestone, Code] = {}
    for code, milestone in vocabulary.coarse.items():
        found.setdefault(milestone, Code(code, None))
    for code, finer in vocabulary.fine.items():
        if finer is not None:
            found.setdefault(finer, Code(_family(name, code), code))
    return found


def _family(name: str, code: str) -> str:
    """The coarse code a finer one belongs to."""
    neutral = {"easypost": "in_transit", "shippo": "TRANSIT", "emsevt": "EME", "epcis": "other"}
    if name in {"aftership", "17track"}:
        return code.partition("_")[0]
    return _FAMILIES.get(name, {}).get(code, neutral[name])


def _aftership(said: Sequence[tuple[Code, str]]) -> Any:
    checkpoints = [
        {"checkpoint_time": at, "tag": code.coarse, "subtag": code.fine} for code, at in said
    ]
    return {"msg": {"tracking_number": "SW00000042", "slug": "swift", "checkpoints": checkpoints}}


def _track17(said: Sequence[tuple[Code, str]]) -> Any:
    events = [
        {"time_iso": at, "stage": None if code.fine else code.coarse, "sub_status": code.fine}
        for code, at in said
    ]
    info = {"tracking": {"providers": [{"events": events}]}}
    return {
        "event": "TRACKING_UPDATED",
        "data": {"number": "SW00000042", "carrier": 3011, "track_info": info},
    }


def _easypost(said: Sequence[tuple[Code, str]]) -> Any:
    details = [
        {"status": code.coarse, "status_detail": code.fine, "datetime": at} for code, at in said
    ]
    tracker = {"tracking_code": "SW00000042", "carrier": "swift", "tracking_details": details}
    return {"description": "tracker.updated", "result": tracker}


def _shippo(said: Sequence[tuple[Code, str]]) -> Any:
    history = [
        {
            "status": code.coarse,
            "substatus": {"code": code.fine} if code.fine else None,
            "status_date": at,
        }
        for code, at in said
    ]
    track = {"tracking_number": "SW00000042", "carrier": "swift", "tracking_history": history}
    return {"event": "track_updated", "data": track}


def _emsevt(said: Sequence[tuple[Code, str]]) -> Any:
    return [
        {
            "item_id": "RA473124829CN",
            "event_code": code.coarse,
            "event_datetime": at,
            "retention_reason": "42" if code.fine == RETAINED else "",
        }
        for code, at in said
    ]


def _epcis(said: Sequence[tuple[Code, str]]) -> Any:
    events = [
        {
            "type": "ObjectEvent",
            "eventTime": at,
            "epcList": ["urn:epc:id:sscc:0614141.1234567890"],
            "bizStep": code.coarse,
            "disposition": code.fine,
        }
        for code, at in said
    ]
    return {"type": "EPCISDocument", "epcisBody": {"eventList": events}}


_WRITERS: dict[str, Callable[[Sequence[tuple[Code, str]]], Any]] = {
    "aftership": _aftership,
    "17track": _track17,
    "easypost": _easypost,
    "shippo": _shippo,
    "emsevt": _emsevt,
    "epcis": _epcis,
}


def written(name: str, said: Sequence[Said]) -> bytes:
    """A document that says what the vocabulary can say of a parcel's life."""
    known = codes(name)
    said_codes = [
        (known[each.milestone], each.at.isoformat()) for each in said if each.milestone in known
    ]
    return json.dumps(_WRITERS[name](said_codes)).encode()
