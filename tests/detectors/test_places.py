"""Numbers of places: by name, the same in any order of asking, only as fine as it matters."""

from detectors.events import Milestone
from detectors.places import Place, Places
from tests.detectors.scans import LANE, batch, core, scan


def places_of(*scans: object) -> list[Place]:
    """Return the place of each parcel after its scans."""
    one = core()
    one.observe(batch(list(scans)))  # type: ignore[arg-type]
    table = one._parcels
    places = Places(table)
    numbers = places.numbers(table.gather(table.live()))
    assert numbers.tolist() == places.numbers(table.gather(table.live())).tolist()
    return [places[number] for number in numbers.tolist()]


def test_under_way_the_destination_belongs_to_the_place() -> None:
    """A hub on the way is another segment for each destination, a station is one."""
    on_the_way = scan("swift/A", Milestone.ARRIVED, 1, region="R03", facility="hub R03", **LANE)
    there = scan("swift/B", Milestone.ARRIVED, 2, region="R07", facility="station R07", **LANE)
    assert places_of(on_the_way, there) == [
        Place("swift", "hub R03", "R03", "R07", ""), Place("swift", "station R07", "R07", "", "")
    ]  # fmt: skip


def test_without_a_facility_the_region_is_the_place() -> None:
    """A carrier that names none, and one that names neither."""
    region = scan("swift/A", Milestone.DEPARTED, 1, region="R03", **LANE)
    neither = scan("swift/B", Milestone.DEPARTED, 2)
    assert places_of(region, neither) == [
        Place("swift", "R03", "R03", "R07", ""), Place("swift", "", "", "", "")
    ]  # fmt: skip


def test_service_levels_are_told_apart() -> None:
    """An economy parcel waits for its container."""
    sent = [
        scan(f"swift/{name}", Milestone.LABEL_CREATED, 1, region="R01", service_level=name, **LANE)
        for name in ("economy", "express")
    ]
    assert [place.service for place in places_of(*sent)] == ["economy", "express"]
