"""SIP over TLS for the phone and the recorder of the command line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sidestream.config.certificates import CertificateFileError
from sidestream.config.values import Verify
from sidestream.errors import Fault, SidestreamError
from sidestream.gateway.sip_tls import PeerPolicy, SipTls
from sidestream.gateway.tls_contexts import TlsFiles
from sidestream.tools.certificates import DEFAULT_NAMES, ensure_certificates


class TlsOptionsError(SidestreamError):
    """The files cannot be used."""

    fault = Fault.OPERATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsOptions:
    """Certificates of a tool.

    Attributes:
        directory: where its own are: `cert.pem`, `key.pem`, and `ca.pem` of the authority; made when missing.
        ca: authorities that the far side is verified against; the system's when None.
        verify: whether it is verified when we connect to it.
        ask: whether who connects must have a certificate, of an authority in `ca`.
    """

    directory: Path
    ca: Path | None = None
    verify: bool = True
    ask: bool = False

    def make(self, hosts: Iterable[str] = ()) -> SipTls:
        """Make the TLS, with a certificate for these addresses, too.

        Raises:
            TlsOptionsError: a file cannot be used.
        """
        names = tuple(dict.fromkeys((*DEFAULT_NAMES, *hosts)))
        policy = PeerPolicy(self.ca, Verify.NAME if self.verify else Verify.OFF)
        try:
            made = ensure_certificates(self.directory, names)
            asked = (self.ca or made.ca) if self.ask else None
            return SipTls(TlsFiles(made.certificate, made.key, asked), fallback=policy)
        except CertificateFileError as error:
            raise TlsOptionsError(str(error), hint=error.hint) from error
        except OSError as error:
            hint = "Name another directory with --tls"
            raise TlsOptionsError(f"{self.directory} cannot be used: {error.strerror}", hint=hint) from error
