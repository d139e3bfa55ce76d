"""What a value may be: how it is written, read and described. The model names a kind for each of its keys."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final, Protocol

from sidestream.config.document import Mapping, Node, Scalar, describe
from sidestream.config.patterns import PatternError, compile_pattern
from sidestream.config.templates import Template, TemplateError
from sidestream.config.uris import UriError, check_endpoint, parse_peer, split_collector, split_listener
from sidestream.config.values import (
    Address,
    ApiListener,
    CollectorAddress,
    Nameserver,
    Network,
    PeerUri,
    PortRange,
    Seconds,
    Secret,
    SipListener,
    Transport,
)
from sidestream.errors import Fault, SidestreamError

SECRET_FILE_MAX: Final = 64 * 1024
TEXT_MAX: Final = 4096

_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h)\Z")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE: Final = re.compile(r"(\d{1,9})(KiB|MiB|GiB|TiB)\Z")
_SIZES: Final = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "TiB": 1024**4}
_PORTS: Final = re.compile(r"(\d{1,5})\s*-\s*(\d{1,5})\Z")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


class UnfitError(SidestreamError):
    """A value that does not fit its key; `hint` says what would."""

    fault = Fault.OPERATOR


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What reading a value may look at besides the value.

    Attributes:
        base: directory that relative paths start from.
        environment: variables for `{env: NAME}`.
    """

    base: Path
    environment: MappingOf[str, str]

    @staticmethod
    def of_process(base: Path) -> Surroundings:
        """Take the environment of this process."""
        return Surroundings(base, os.environ)


class Kind(Protocol):
    """How one sort of value is read."""

    @property
    def about(self) -> str:
        """What may be written, for people."""
        ...

    def read(self, node: Node, around: Surroundings) -> object:
        """Read a value.

        Raises:
            UnfitError: it is not of this kind.
        """
        ...


def text_of(node: Node, wanted: str) -> str:
    """Return a scalar as it was written.

    Raises:
        UnfitError: it is empty, a list or a mapping; `wanted` says what belongs there.
    """
    if not isinstance(node, Scalar):
        raise UnfitError(f"must be {wanted}, not {describe(node)}", hint=f"Write {wanted}")
    if node.value is None:
        raise UnfitError("is empty", hint=f"Write {wanted}, or leave the key out where it is optional")
    return node.text


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number."""

    least: int
    most: int
    word: str | None = None
    """A word that may stand for None, such as `auto`."""

    @property
    def about(self) -> str:
        """What may be written."""
        numbers = f"a whole number from {self.least} to {self.most}"
        return f"`{self.word}` or {numbers}" if self.word else numbers

    def read(self, node: Node, around: Surroundings) -> int | None:
        """Read the number."""
        del around
        text = text_of(node, self.about)
        value = node.value if isinstance(node, Scalar) else None
        if self.word is not None and text == self.word:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            hint = f"Write {text} without quotes" if text.isdecimal() else f"Write {self.about}"
            raise UnfitError(f"must be {self.about}, not {describe(node)}", hint=hint)
        if not self.least <= value <= self.most:
            raise UnfitError(f"{text} is out of bounds", hint=f"Write {self.about}")
        return value


@dataclass(frozen=True, slots=True)
class Duration:
    """A time with its unit."""

    least: str
    most: str
    word: str | None = None
    """A word that may stand for None, such as `off`."""

    @property
    def about(self) -> str:
        """What may be written."""
        span = f"a duration from {self.least} to {self.most}"
        return f"`{self.word}` or {span}" if self.word else span

    def read(self, node: Node, around: Surroundings) -> Seconds | None:
        """Read the duration."""
        del around
        text = text_of(node, self.about)
        if self.word is not None and text == self.word:
            return None
        seconds = parse_duration(text)
        if seconds is None:
            hint = "Write a number with its unit, such as 20ms, 30s, 5m or 4h"
            if re.fullmatch(r"\d+(\.\d+)?", text):
                raise UnfitError(f"{text} has no unit", hint=hint)
            raise UnfitError(f"{text!r} is no duration", hint=hint)
        least, most = parse_duration(self.least), parse_duration(self.most)
        if least is not None and most is not None and not least <= seconds <= most:
            raise UnfitError(f"{text} is out of bounds", hint=f"Write {self.about}")
        return seconds


def parse_duration(text: str) -> Seconds | None:
    """Read `20ms`, `30s`, `5m` or `4h`; None when it is none."""
    match = _DURATION.match(text)
    return Seconds(round(float(match[1]) * _UNITS[match[2]], 6)) if match else None


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes with its unit."""

    least: str
    most: str

    @property
    def about(self) -> str:
        """What may be written."""
        return f"a size from {self.least} to {self.most}"

    def read(self, node: Node, around: Surroundings) -> int:
        """Read the size."""
        del around
        text = text_of(node, self.about)
        size, least, most = parse_size(text), parse_size(self.least), parse_size(self.most)
        if size is None:
            hint = "Write a whole number with its unit, such as 256KiB, 64MiB or 1GiB"
            raise UnfitError(f"{shortened(text)} is no size", hint=hint)
        if least is not None and most is not None and not least <= size <= most:
            raise UnfitError(f"{text} is out of bounds", hint=f"Write {self.about}")
        return size


def parse_size(text: str) -> int | None:
    """Read `256KiB`, `64MiB`, `1GiB` or `1TiB`; None when it is none."""
    match = _SIZE.match(text)
    return int(match[1]) * _SIZES[match[2]] if match else None


@dataclass(frozen=True, slots=True)
class Flag:
    """Yes or no."""

    about: str = "`true` or `false`"

    def read(self, node: Node, around: Surroundings) -> bool:
        """Read the flag."""
        del around
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        raise UnfitError(f"must be true or false, not {describe(node)}", hint="Write true or false")


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text that matches a pattern."""

    about: str
    pattern: str = r"[^\x00-\x1f\x7f]{1,256}"

    def read(self, node: Node, around: Surroundings) -> str:
        """Read the text."""
        del around
        text = text_of(node, self.about)
        if len(text) > TEXT_MAX or not re.fullmatch(self.pattern, text):
            raise UnfitError(f"{shortened(text)} is not {self.about}", hint=f"Write {self.about}")
        return text


def shortened(text: str) -> str:
    """Quote a text for a message."""
    return repr(text if len(text) <= 80 else text[:77] + "...")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several words."""

    words: type[StrEnum]

    @property
    def about(self) -> str:
        """What may be written."""
        return "one of " + ", ".join(f"`{word.value}`" for word in self.words)

    def read(self, node: Node, around: Surroundings) -> StrEnum:
        """Read the word; the letter case is part of it."""
        del around
        text = text_of(node, self.about.replace("`", ""))
        for word in self.words:
            if word.value == text:
                return word
        near = next((word.value for word in self.words if word.value.lower() == text.lower()), None)
        words = [word.value for word in self.words]
        near = near or closest(text, words)
        listed = f"Write one of {', '.join(words)}"
        hint = f"Did you mean {near}? {listed}" if near else listed
        raise UnfitError(f"{shortened(text)} is not known here", hint=hint)


def closest(word: str, known: list[str]) -> str | None:
    """Return the known word that `word` was probably meant to be."""
    from difflib import get_close_matches  # noqa: PLC0415 - only needed when something is wrong

    found = get_close_matches(word[:128].lower(), [each.lower() for each in known], n=1, cutoff=0.6)
    return next((each for each in known if found and each.lower() == found[0]), None)


@dataclass(frozen=True, slots=True)
class IpAddress:
    """An IP address."""

    about: str = "an IP address such as 192.0.2.10"

    def read(self, node: Node, around: Surroundings) -> Address:
        """Read the address."""
        del around
        text = text_of(node, self.about)
        try:
            return ip_address(text.strip("[]"))
        except ValueError:
            raise UnfitError(f"{shortened(text)} is no IP address", hint=f"Write {self.about}") from None


@dataclass(frozen=True, slots=True)
class IpNetwork:
    """A range of addresses."""

    about: str = "an address or network such as 192.0.2.0/24"

    def read(self, node: Node, around: Surroundings) -> Network:
        """Read the network."""
        del around
        text = text_of(node, self.about)
        try:
            return ip_network(text)
        except ValueError as error:
            hint = f"Write {self.about}"
            if "host bits set" in str(error):
                network = ip_network(text, strict=False)
                hint = f"Write {network} for the network, or leave out /{network.prefixlen} for the address"
            raise UnfitError(f"{shortened(text)} is no network", hint=hint) from None


@dataclass(frozen=True, slots=True)
class Ports:
    """A range of UDP ports."""

    about: str = "a range of ports such as 20000-29999"

    def read(self, node: Node, around: Surroundings) -> PortRange:
        """Read the range."""
        del around
        text = text_of(node, self.about)
        match = _PORTS.match(text)
        if match is None:
            raise UnfitError(f"{shortened(text)} is no range of ports", hint=f"Write {self.about}")
        first, last = int(match[1]), int(match[2])
        if not 1024 <= first <= last <= 65535:
            raise UnfitError(
                f"{text} is no range within 1024 to 65535, the lower port first", hint=f"Write {self.about}"
            )
        return PortRange(first, last)


@dataclass(frozen=True, slots=True)
class Listener:
    """A SIP socket."""

    about: str = "a listener such as udp://192.0.2.10:5060"

    def read(self, node: Node, around: Surroundings) -> SipListener:
        """Read the listener."""
        del around
        text = text_of(node, self.about)
        with_hint = f"Write {self.about}; the transports are udp, tcp and tls"
        try:
            scheme, host, port = split_listener(text)
        except UriError as error:
            raise UnfitError(str(error), hint=error.hint or with_hint) from None
        if scheme not in {"udp", "tcp", "tls"}:
            raise UnfitError(f"{scheme!r} is no SIP transport", hint=with_hint)
        return SipListener(scheme, host, port or (5061 if scheme == "tls" else 5060))  # type: ignore[arg-type] # checked above


@dataclass(frozen=True, slots=True)
class ApiUrl:
    """The HTTP socket of health and metrics."""

    about: str = "an address such as http://127.0.0.1:8080"

    def read(self, node: Node, around: Surroundings) -> ApiListener:
        """Read the address."""
        del around
        text = text_of(node, self.about)
        try:
            scheme, host, port = split_listener(text)
        except UriError as error:
            raise UnfitError(str(error), hint=error.hint or f"Write {self.about}") from None
        if scheme == "https":
            hint = "Write http:// with a loopback address, and put a TLS proxy before it where others need it"
            raise UnfitError("https:// is not available in this version", hint=hint)
        if scheme != "http":
            raise UnfitError(f"{scheme!r} is no scheme for it", hint=f"Write {self.about}")
        return ApiListener(host, port or 80)


@dataclass(frozen=True, slots=True)
class CollectorUrl:
    """Where a collector of HEP listens."""

    about: str = "an address such as udp://homer.example:9060"

    def read(self, node: Node, around: Surroundings) -> CollectorAddress:
        """Read the address."""
        del around
        text = text_of(node, self.about)
        try:
            scheme, host, port = split_collector(text)
        except UriError as error:
            raise UnfitError(str(error), hint=error.hint or f"Write {self.about}") from None
        if scheme not in {"udp", "tcp"}:
            raise UnfitError(f"{scheme!r} is no transport of HEP", hint="Write udp:// or tcp://")
        return CollectorAddress("tcp" if scheme == "tcp" else "udp", host, port or 9060)


@dataclass(frozen=True, slots=True)
class DnsServer:
    """A DNS server."""

    about: str = "the IP address of a DNS server, and its port unless it is 53, such as 192.0.2.53"

    def read(self, node: Node, around: Surroundings) -> Nameserver:
        """Read the server."""
        del around
        text = text_of(node, self.about)
        place = f"[{text}]" if text.count(":") > 1 and "[" not in text else text
        try:
            _, host, port = split_listener(f"dns://{place}")
        except UriError:
            raise UnfitError(f"{shortened(text)} is no DNS server", hint=f"Write {self.about}") from None
        return Nameserver(host, port or 53)


@dataclass(frozen=True, slots=True)
class SipPeer:
    """The URI of a peer."""

    default: Transport = "udp"
    """Transport of a URI that names none."""
    about: str = 'a SIP URI such as "sip:192.0.2.20:5060;transport=udp"'

    def read(self, node: Node, around: Surroundings) -> PeerUri:
        """Read the URI."""
        del around
        text = text_of(node, self.about)
        try:
            return parse_peer(text, self.default)
        except UriError as error:
            raise UnfitError(str(error), hint=error.hint or f"Write {self.about}") from None


@dataclass(frozen=True, slots=True)
class EndpointUrl:
    """The URL of an endpoint."""

    about: str = "a URL such as wss://transcribe.example/calls"

    def read(self, node: Node, around: Surroundings) -> str:
        """Read the URL."""
        del around
        text = text_of(node, self.about)
        try:
            check_endpoint(text)
        except UriError as error:
            raise UnfitError(str(error), hint=error.hint or f"Write {self.about}") from None
        return text


@dataclass(frozen=True, slots=True)
class Database:
    """Where records are kept."""

    about: str = "`sqlite:///` with a file's path, such as sqlite:///sidestream.db"

    def read(self, node: Node, around: Surroundings) -> Path:
        """Read the path; a relative one starts at the configuration file."""
        text = text_of(node, self.about)
        if text.startswith(("postgresql:", "postgres:")):
            hint = "Write sqlite:/// with a file's path"
            raise UnfitError("PostgreSQL is not available in this version", hint=hint)
        path = text.removeprefix("sqlite:///")
        if path == text or not path or "\0" in path:
            raise UnfitError(f"{shortened(text)} names no database", hint=f"Write {self.about}")
        return around.base / path


@dataclass(frozen=True, slots=True)
class Pattern:
    """A regular expression."""

    about: str = r'a regular expression such as "^\\+49[0-9]+$"'

    def read(self, node: Node, around: Surroundings) -> re.Pattern[str]:
        """Read and compile the expression."""
        del around
        text = text_of(node, self.about)
        try:
            return compile_pattern(text)
        except PatternError as error:
            raise UnfitError(str(error), hint=error.hint) from None


@dataclass(frozen=True, slots=True)
class TemplateText:
    """A text with variables."""

    about: str = 'a text that may hold variables, such as "{account.name}"'

    def read(self, node: Node, around: Surroundings) -> Template:
        """Read the template."""
        del around
        if isinstance(node, Mapping):
            hint = 'Put quotes around it: "{account.name}"; a secret belongs into auth.headers'
            raise UnfitError("must be a text, not a mapping", hint=hint)
        try:
            return Template.parse(text_of(node, self.about))
        except TemplateError as error:
            raise UnfitError(str(error), hint=error.hint) from None


@dataclass(frozen=True, slots=True)
class FilePath:
    """A file beside the configuration."""

    about: str = "a path; a relative one starts at the configuration file"

    def read(self, node: Node, around: Surroundings) -> Path:
        """Read the path; whether the file is there is asked by the rules."""
        text = text_of(node, self.about)
        if "\0" in text or not text:
            raise UnfitError(f"{shortened(text)} is no path", hint=f"Write {self.about}")
        return around.base / text


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Stands for a value that this version can't use; the rules refuse it."""


@dataclass(frozen=True, slots=True)
class Later:
    """Anything, for a key that this version can't use."""

    about: str = "not available in this version"

    def read(self, node: Node, around: Surroundings) -> Unavailable:
        """Take the value as it is."""
        del node, around
        return Unavailable()


@dataclass(frozen=True, slots=True)
class SecretText:
    """A secret."""

    about: str = "`{env: NAME}`, `{file: PATH}` or the secret itself"

    def read(self, node: Node, around: Surroundings) -> Secret:
        """Read the secret, from where the value says."""
        hint = "Write {env: NAME} with a variable's name, or {file: PATH} with a file's"
        if isinstance(node, Mapping):
            secret = self._from_elsewhere(node, around, hint)
        else:
            secret = Secret(text_of(node, self.about.replace("`", "")))
        value = secret.reveal()
        if not value:
            raise UnfitError(f"the secret ({secret.origin}) is empty", hint=hint)
        if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value):
            raise UnfitError(
                f"the secret ({secret.origin}) has a line break or control character",
                hint="Keep one line of text in it",
            )
        return secret

    def _from_elsewhere(self, node: Mapping, around: Surroundings, hint: str) -> Secret:
        if len(node.entries) != 1 or node.entries[0][0].text not in {"env", "file"}:
            raise UnfitError("must be one of {env: NAME} and {file: PATH}", hint=hint)
        key, value = node.entries[0]
        name = text_of(value, "a name")
        if key.text == "file":
            return _secret_file(name, around.base)
        if not _VARIABLE.match(name):
            raise UnfitError(f"{shortened(name)} is no name of an environment variable", hint=hint)
        if name not in around.environment:
            remedy = f"Set {name} in the environment of the gateway, or use {{file: PATH}}"
            raise UnfitError(f"the environment variable {name} is not set", hint=remedy)
        return Secret(around.environment[name], f"env {name}")


def _secret_file(name: str, base: Path) -> Secret:
    hint = "Name a readable file with one line of text"
    try:
        with (base / name).open("rb") as file:
            data = file.read(SECRET_FILE_MAX + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UnfitError(f"the file {shortened(name)} can't be read: {reason}", hint=hint) from None
    if len(data) > SECRET_FILE_MAX:
        raise UnfitError(f"the file {shortened(name)} is too large for a secret", hint=hint)
    try:
        return Secret(data.decode("utf-8").rstrip("\r\n"), f"file {name}")
    except UnicodeDecodeError:
        raise UnfitError(f"the file {shortened(name)} isn't UTF-8 text", hint=hint) from None
