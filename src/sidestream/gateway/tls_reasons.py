"""What OpenSSL says, in the words of `sip.tls_failure`."""

from __future__ import annotations

import ssl
from typing import Final

from sidestream.sip.tls_failure import TlsFailure, TlsTrouble

_F = TlsFailure

# Codes of x509_vfy.h; the ssl module has no names for them.
_BY_VERIFY_CODE: Final = {
    2: _F.UNTRUSTED,  # the issuer cannot be found
    9: _F.EXPIRED,  # not yet valid
    10: _F.EXPIRED,
    18: _F.UNTRUSTED,  # self-signed
    19: _F.UNTRUSTED,  # self-signed in the chain
    20: _F.UNTRUSTED,  # the issuer is not known here
    21: _F.UNTRUSTED,  # the first one cannot be verified
    27: _F.UNTRUSTED,  # not trusted for this use
}
_BY_REASON: Final = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": _F.NO_CERTIFICATE,
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": _F.REFUSED,
    "UNSUPPORTED_PROTOCOL": _F.NO_SHARED_VERSION,
    "WRONG_SSL_VERSION": _F.NO_SHARED_VERSION,
    "VERSION_TOO_LOW": _F.NO_SHARED_VERSION,
    "NO_PROTOCOLS_AVAILABLE": _F.NO_SHARED_VERSION,
    "TLSV1_ALERT_PROTOCOL_VERSION": _F.NO_SHARED_VERSION,
    "INAPPROPRIATE_FALLBACK": _F.NO_SHARED_VERSION,
    "NO_SHARED_CIPHER": _F.NO_SHARED_CIPHER,
    "NO_CIPHERS_AVAILABLE": _F.NO_SHARED_CIPHER,
    "NO_SUITABLE_GROUPS": _F.NO_SHARED_CIPHER,
    "NO_SUITABLE_KEY_SHARE": _F.NO_SHARED_CIPHER,
    "NO_SHARED_SIGNATURE_ALGORITHMS": _F.NO_SHARED_CIPHER,
    "NO_SUITABLE_SIGNATURE_ALGORITHM": _F.NO_SHARED_CIPHER,
    "TLSV1_ALERT_INSUFFICIENT_SECURITY": _F.NO_SHARED_CIPHER,
    "WRONG_VERSION_NUMBER": _F.NOT_TLS,
    "HTTP_REQUEST": _F.NOT_TLS,
    "HTTPS_PROXY_REQUEST": _F.NOT_TLS,
    "PACKET_LENGTH_TOO_LONG": _F.NOT_TLS,
    "BAD_RECORD_TYPE": _F.NOT_TLS,
    "UNEXPECTED_EOF_WHILE_READING": _F.LOST,
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": _F.REFUSED,
    "EE_KEY_TOO_SMALL": _F.BAD_CERTIFICATE,
    "CA_KEY_TOO_SMALL": _F.BAD_CERTIFICATE,
    "CA_MD_TOO_WEAK": _F.BAD_CERTIFICATE,
}


def trouble_of(error: ssl.SSLError) -> TlsTrouble:
    """Classify an error of a handshake or of a record."""
    if isinstance(error, ssl.SSLCertVerificationError):
        failure = _BY_VERIFY_CODE.get(error.verify_code, _F.BAD_CERTIFICATE)
        return TlsTrouble(failure, f"its certificate is refused: {error.verify_message}")
    reason = error.reason or ""
    said = reason.lower().replace("_", " ") or "an error without a name"
    if reason in _BY_REASON:
        return TlsTrouble(_BY_REASON[reason], said)
    if "_ALERT_" in reason:
        return TlsTrouble(_F.REFUSED, f"the peer said: {said.partition(' alert ')[2]}")
    return TlsTrouble(_F.BROKEN, said)
