"""Texts that were written to do something where they are shown, stored or parsed."""

from typing import Final

HOSTILE: Final = (
    "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "\"><svg/onload=alert(1)> &lt;b&gt; '; --",
    "a\r\nSet-Cookie: owned=1\r\n\r\nHTTP/1.1 200 OK",
    "Idempotency-Key: rem_other\nwebhook-id: rem_other",
    "line\n2026-01-01 ERROR everything is paid\x00\x1b[2J\x1b]0;owned\x07",
    "\u202egpj.exe\u202c \u2066\u2069\u200f\u061c \ufeff\u2028\u2029",
    '=HYPERLINK("http://evil.example";"coupon")',
    "+cmd|' /C calc'!A0",
    "-2+3+cmd|'/c calc'!A0",
    "@SUM(1+1)*cmd|'/C calc'!A0",
    "＝1+1",
    '{"amount_minor":999999,"__proto__":{"x":1}}',
    '","amount_minor":999999,"x":"',
    "{{7*7}} ${7*7} #{7*7} {% for x in ().__class__.__base__.__subclasses__() %}{{x}}{% endfor %}",
    "{0.__class__} {parcel} %s %(x)s %n",
    "'; DROP TABLE coupons; --",
    "../../../../etc/passwd",
    "𝕳𝖆𝖈𝖐 \U000e0041 ẛ̣ ﷽ 👩‍👩‍👧",
)
"""HTML, header and log injection, terminals, text direction, formulae, JSON, templates."""
