"""Interchanges are whole or refused, whatever their service characters."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.adapters.edifact import Segment, is_interchange, messages
from pipeline.adapters.items import Unreadable

HEAD = b"UNB+UNOA:1+CN+DE+260302:0910+7'"


@pytest.mark.parametrize(
    ("start", "is_one"),
    [
        (HEAD, True),
        (b"\r\n UNA:+.? '\r\nUNB+UNOA:1'", True),
        (b"UNA|;.! ~UNB;UNOA|1~", True),
        (b"UNAME;UNBILLED\n1;2\n", False),
        (b"UNBILLED,code\n", False),
        (b'{"UNB+":1}', False),
        (b"", False),
    ],
)
def test_first_bytes_tell(start: bytes, is_one: bool) -> None:
    """A sheet whose first column begins like one is none."""
    assert is_interchange(start) is is_one


def test_groups_lines_and_several_interchanges_are_read() -> None:
    """UNZ counts groups where there are some; line ends between segments say nothing."""
    grouped = b"UNB+UNOA:1'\nUNG+X'\nUNH+1+A'\nUNT+2+1'\nUNH+2+B'\nUNT+2+2'\nUNE+2+1'\nUNZ+1+7'\n"
    plain = HEAD + b"UNH+3+C'UNT+0002+3'UNZ+1+7'"
    assert [message.head.at(1) for message in messages(grouped + plain)] == ["A", "B", "C"]


@pytest.mark.parametrize(
    "text",
    [
        HEAD,
        HEAD + b"UNH+1+A'UNZ+1+7'",
        HEAD + b"UNH+1+A'UNT+3+1'UNZ+1+7'",
        HEAD + b"UNH+1+A'UNT+2+1'UNZ+2+7'",
        HEAD + b"UNH+1+A'UNT+2+1'",
        HEAD + b"UNH+1+A'UNH+2+A'UNT+2+1'UNZ+1+7'",
        HEAD + b"UNT+2+1'UNZ+1+7'",
        HEAD + HEAD,
        HEAD + b"UNG+X'UNH+1+A'UNT+2+1'UNE+2+1'UNZ+1+7'",
        b"UNZ+0+7'",
    ],
)
def test_what_is_not_whole_is_refused(text: bytes) -> None:
    """A trailer is missing, or counts what is not there."""
    with pytest.raises(Unreadable):
        list(messages(text))


PARTS = st.text(st.characters(max_codepoint=0x7E, min_codepoint=0x20), min_size=1, max_size=6)
SERVICES = st.permutations(list(":+?'|;!~^")).map("".join)


@settings(deadline=None)
@given(service=SERVICES, values=st.lists(st.lists(PARTS, min_size=1, max_size=3), max_size=4))
def test_any_text_comes_back_released(service: str, values: list[list[str]]) -> None:
    """Under any service characters; those inside of a value are released and come back."""
    component, element, release, end = (service[each] for each in range(4))

    def written(part: str) -> str:
        return "".join(release + c if c in service[:4] else c for c in part)

    elements = [component.join(map(written, parts)) for parts in values]
    segment = element.join(["FTX", *elements]) + end
    una = f"UNA{component}{element}.{release} {end}"
    head = f"UNB{element}UNOA{end}UNH{element}1{end}"
    tail = f"UNT{element}3{element}1{end}UNZ{element}1{element}7{end}"
    (message,) = messages((una + head + segment + tail).encode())
    (found,) = message.body
    if values:  # spaces at the very end of a segment are line ends to us
        values[-1][-1] = values[-1][-1].rstrip()
    assert found == Segment("FTX", tuple(map(tuple, values)))
