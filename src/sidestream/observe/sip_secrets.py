"""Takes the secrets out of a SIP message before anybody keeps it. Pure.

Masked are credentials (`Authorization`, `Proxy-Authorization` and what answers them), the keys of SRTP
(`a=crypto`, RFC 4568; `k=` and `a=key-mgmt`, RFC 4567), passwords in URIs (RFC 3261 section 19.1.1), and
whole bodies that cannot be read as text. Masks in a body are as long as what they hide, so that
Content-Length stays true.
"""

import re
from typing import Final

MASK: Final = b"***"
_SHOWN: Final = frozenset({b"username", b"realm", b"uri", b"algorithm", b"qop", b"opaque", b"stale"})
"""Parameters of a digest that give nothing away (RFC 7616); all else is masked."""

_CREDENTIALS: Final = re.compile(
    rb"^((?:proxy-)?auth(?:orization|entication-info)[ \t]*:[ \t]*)((?:[^\r\n]|\r?\n[ \t]+|\r(?!\n))*)",
    re.IGNORECASE | re.MULTILINE,
)
_SCHEME: Final = re.compile(rb"digest[ \t]+", re.IGNORECASE)
_PARAMETER: Final = re.compile(
    rb"(?<![A-Za-z0-9_-])([A-Za-z0-9_-]{1,64})(\s{0,8}=\s{0,8})(\"(?:[^\"\\]|\\.)*\"?|[^\s,\"]*)", re.DOTALL
)
_KEYS: Final = re.compile(rb"^(a=crypto:|a=key-mgmt:|k=)([^\r\n]*)", re.IGNORECASE | re.MULTILINE)
_INLINE: Final = re.compile(rb"(inline:)([^|;\s]*)", re.IGNORECASE)
_PASSWORD: Final = re.compile(rb"(sips?:[^\s:@;<>\"]{0,128}:)[^\s@<>\"]{1,128}@", re.IGNORECASE)
_LOW_PASSWORD: Final = re.compile(rb"sips?:[^\s:@;<>\"]{0,128}:[^\s@<>\"]{1,128}@")
"""The same for text in lower case: five times as quick, as it begins by a search for the first letters."""
_OPAQUE: Final = re.compile(
    rb"^(?:content-transfer-encoding[ \t]*:[ \t]*base64|(?:content-encoding|e)[ \t]*:[ \t]*[^\s])",
    re.IGNORECASE | re.MULTILINE,
)
_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")


def mask_message(data: bytes) -> bytes:
    """Return a message with its secrets masked; one without any comes back as it is."""
    low = data.lower()
    if (
        b"auth" in low
        or b"a=crypto" in low
        or b"a=key" in low
        or b"\nk=" in low
        or b"encoding" in low
        or b"\ne" in low
    ):
        data = _mask_body(_CREDENTIALS.sub(_credentials, data))
    return _PASSWORD.sub(rb"\1" + MASK + b"@", data) if _LOW_PASSWORD.search(low) else data


def _mask_body(data: bytes) -> bytes:
    end = _HEAD_END.search(data)
    if end is None:
        return _KEYS.sub(_key, data)
    head, body = data[: end.end()], data[end.end() :]
    if _OPAQUE.search(data):
        return head + b"*" * len(body)
    return head + _KEYS.sub(_key, body)


def _credentials(found: re.Match[bytes]) -> bytes:
    """Mask the value of a header but for what a digest may show."""
    value = found[2]
    scheme = _SCHEME.match(value)
    if scheme is None and b"info" not in found[1].lower():
        return found[1] + value.split(None, 1)[0] + b" " + MASK if b" " in value.strip() else found[1] + MASK
    begin = scheme.end() if scheme else 0
    shown = [
        name + equals + (text if name.lower() in _SHOWN else MASK)
        for name, equals, text in _PARAMETER.findall(value[begin:])
    ]
    return found[1] + value[:begin] + b", ".join(shown)


def _key(found: re.Match[bytes]) -> bytes:
    if found[1].lower() != b"a=crypto:":
        return found[1] + b"*" * len(found[2])
    masked, count = _INLINE.subn(lambda key: key[1] + b"*" * len(key[2]), found[2])
    # What has no `inline:` is no key method that we know: all of it may be one.
    return found[1] + (masked if count else b"*" * len(found[2]))
