"""An independent reader of HEP3, written from its specification: nothing of it is shared with the encoder."""

from dataclasses import dataclass, field


@dataclass
class Hep:
    """One packet: the values of its chunks by vendor and type, in order."""

    chunks: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def number(self, kind: int) -> int:
        return int.from_bytes(self.chunks[0, kind], "big")

    @property
    def addresses(self) -> tuple[str, str]:
        kinds = (3, 4) if self.number(1) == 2 else (5, 6)
        return tuple(self._address(self.chunks[0, kind]) for kind in kinds)  # type: ignore[return-value]

    @staticmethod
    def _address(value: bytes) -> str:
        if len(value) == 4:
            return ".".join(str(byte) for byte in value)
        assert len(value) == 16
        return ":".join(value[at : at + 2].hex() for at in range(0, 16, 2))


def read(data: bytes) -> tuple[Hep, bytes]:
    """Return the first packet of a stream, and the rest."""
    assert data[:4] == b"HEP3"
    length = int.from_bytes(data[4:6], "big")
    assert 6 <= length <= len(data)
    packet, at = Hep(), 6
    while at < length:
        vendor, kind, size = (int.from_bytes(data[at + step : at + step + 2], "big") for step in (0, 2, 4))
        assert 6 <= size <= length - at
        assert (vendor, kind) not in packet.chunks
        packet.chunks[vendor, kind] = data[at + 6 : at + size]
        at += size
    assert at == length
    return packet, data[length:]


def read_all(data: bytes) -> list[Hep]:
    """Return every packet of a stream."""
    found = []
    while data:
        packet, data = read(data)
        found.append(packet)
    return found
