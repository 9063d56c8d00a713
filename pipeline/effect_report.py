"""What `forewarn effect` says: plain sentences, a table, a picture."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from pipeline.effect import Group, Outcome
from pipeline.explain import money

_WORDS: Final = {
    Outcome.COMPLAINTS: ("complaints", "complaint"),
    Outcome.REPEATED: ("repeat complainers", "repeat complainer"),
    Outcome.LATE: ("late parcels", "late parcel"),
}


def sentence(group: Group, currency: str) -> str:
    """Return what is known of one outcome, in one or two sentences."""
    many, one = _WORDS[group.outcome]
    where = "" if group.group == "all" else f" ({group.group})"
    counted = f"{group.treated:,} customers treated, {group.held_out:,} held out"
    low, high, avoided = group.avoided_low, group.avoided_high, group.avoided
    if low is None or high is None or avoided is None:
        return f"Too little is known of {many} yet{where}: {counted}."
    range_ = f"{_a_hundred(low)} to {_a_hundred(high)}"
    if low <= 0 <= high:
        return (
            f"No effect on {many} can be told from chance{where}: a hundred customers are spared "
            f"{range_}; {counted}."
        )
    if high < 0:
        return f"Remedies go with more {many}{where}: {range_} avoided a hundred; {counted}."
    total = avoided * group.treated
    price, least, most = (_money(cost(group, each), currency) for each in (avoided, high, low))
    return (
        f"Remedies spared {total:,.0f} {many}{where}, {_a_hundred(avoided)} for a hundred "
        f"customers ({range_}), at {price} a {one} ({least} to {most}); {counted}."
    )


def cost(group: Group, avoided: float) -> float | None:
    """Return what was paid for each one avoided, minor units; None where none is."""
    return None if avoided <= 0 else group.spent_minor / (avoided * group.treated)


def _money(minor: float | None, currency: str) -> str:
    return "no known price" if minor is None else money(round(minor), currency)


def _a_hundred(value: float) -> str:
    return f"{value * 100:.1f}".replace("-", "−")


def lines(groups: Sequence[Group], currency: str, confidence: float) -> Iterator[str]:
    """Yield the report: sentences for all customers, then policies and regions of complaints."""
    for group in groups:
        if group.group == "all":
            yield sentence(group, currency)
    for kind in ("policy", "region"):
        members = [
            group
            for group in groups
            if group.outcome is Outcome.COMPLAINTS and group.group.startswith(f"{kind}/")
        ]
        if members:
            yield ""
            yield f"Complaints avoided for a hundred customers, by {kind}:"
            yield from (_row(group, currency) for group in members)
    yield ""
    yield (
        f"Intervals hold with {confidence:.0%} at every look, and those of one list together: "
        "looking every day does not fool them."
    )


def _row(group: Group, currency: str) -> str:
    name = group.group.partition("/")[2]
    low, high, avoided = group.avoided_low, group.avoided_high, group.avoided
    counted = f"{group.treated:,} + {group.held_out:,} customers"
    if low is None or high is None or avoided is None:
        return f"  {name:<20} too little is known yet ({counted})"
    price = cost(group, avoided) if low > 0 else None
    paid = f", {_money(price, currency)} each" if price is not None else ""
    range_ = f"{_a_hundred(low)} to {_a_hundred(high)}"
    return f"  {name:<20} {_a_hundred(avoided)} ({range_}{paid}; {counted})"


_WIDTH: Final = 720
_LEFT: Final = 210
_ROW: Final = 30
_COLOURS: Final = {True: "#1f7a6c", False: "#8a9390"}


def picture(groups: Sequence[Group]) -> str:
    """Return an SVG: what was avoided in each group, with its interval; 0 in the middle."""
    known = [
        group
        for group in groups
        if group.outcome is Outcome.COMPLAINTS and group.avoided is not None
    ]
    most = max((abs(edge) for group in known for edge in _edges(group)), default=0.1) * 100 or 1.0
    height = 90 + _ROW * max(len(known), 1)
    middle = _LEFT + (_WIDTH - _LEFT - 30) / 2
    scale = (_WIDTH - _LEFT - 30) / 2 / most

    def x(value: float) -> float:
        return round(middle + value * 100 * scale, 1)

    font = 'font-family="system-ui, sans-serif" font-size="13" fill="#24312f"'
    grey, foot = 'fill="#6c7572"', height - 12
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" {font}>',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="20" y="24" font-size="15" font-weight="600">{escape(_title(known))}</text>',
        f'<text x="20" y="42" {grey}>Complaints avoided for a hundred customers</text>',
        f'<line x1="{middle}" x2="{middle}" y1="56" y2="{height - 30}" stroke="#b9c0bd"/>',
        f'<text x="{_LEFT}" y="{foot}" {grey}>−{most:.0f}</text>',
        f'<text x="{middle}" y="{foot}" text-anchor="middle" {grey}>0</text>',
        f'<text x="{_WIDTH - 30}" y="{foot}" text-anchor="end" {grey}>{most:.0f}</text>',
    ]
    for number, group in enumerate(known):
        y, (low, high) = 74 + _ROW * number, _edges(group)
        colour = _COLOURS[group.works]
        line = f'x1="{x(low)}" x2="{x(high)}" y1="{y}" y2="{y}"'
        parts += [
            f'<text x="20" y="{y + 4}">{escape(group.group[:28])}</text>',
            f'<line {line} stroke="{colour}" stroke-width="3" stroke-linecap="round"/>',
            f'<circle cx="{x(group.avoided or 0.0)}" cy="{y}" r="5" fill="{colour}"/>',
        ]
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _edges(group: Group) -> tuple[float, float]:
    return group.avoided_low or 0.0, group.avoided_high or 0.0


def _title(known: Sequence[Group]) -> str:
    whole = next((group for group in known if group.group == "all"), None)
    if whole is None:
        return "Too little is known of complaints yet"
    return "Remedies avoid complaints" if whole.works else "No effect can be told from chance yet"
