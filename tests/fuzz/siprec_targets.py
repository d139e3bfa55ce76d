"""What a recorder sends: metadata documents, and bodies that hold them."""

from fuzz.target import Target
from sidestream.errors import RemoteError
from sidestream.sip.message import Headers, Request
from sidestream.siprec.body import read_body
from sidestream.siprec.check import check
from sidestream.siprec.errors import MetadataError
from sidestream.siprec.xml import parse, serialize


def siprec_metadata(data: bytes) -> None:
    """A document is read back from what it writes and can be judged, or is refused."""
    problems = check(data)
    try:
        document = parse(data)
    except MetadataError as error:
        _check_status(error)
        assert problems
        return
    assert parse(serialize(document)) == document


def siprec_body(data: bytes) -> None:
    """A body is read or refused; the first two lines are Content-Type and Content-Disposition."""
    kind, _, rest = data.partition(b"\n")
    disposition, _, body = rest.partition(b"\n")
    request = Request("UPDATE", "sip:a@b", Headers(), body)
    for name, value in (("Content-Type", kind), ("Content-Disposition", disposition)):
        if value:
            request.headers.add(name, value.decode("utf-8", "replace").replace("\r", ""))
    try:
        read_body(request)
    except RemoteError as error:
        _check_status(error)


def _check_status(error: RemoteError) -> None:
    assert error.sip_status in {400, 413, 415}
    assert str(error)


TARGETS = (
    Target("siprec_metadata", siprec_metadata, "metadata", short_runs=1000),
    Target("siprec_body", siprec_body, "multipart", max_bytes=2048, short_runs=5000),
)
