"""libsrtp as an independent party: one session for each direction, by way of pylibsrtp."""

import pylibsrtp
from pylibsrtp import Policy, Session

from sidestream.sdp.crypto import CryptoSuite, KeyMaterial, SrtpKeys

_PROFILES = {
    CryptoSuite.AES_CM_128_HMAC_SHA1_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    CryptoSuite.AES_CM_128_HMAC_SHA1_32: Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    CryptoSuite.AES_256_CM_HMAC_SHA1_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    CryptoSuite.AEAD_AES_128_GCM: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    CryptoSuite.AEAD_AES_256_GCM: Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
_ICM_256, _ICM_256_KEY_SALT = 5, 46
"""SRTP_AES_ICM_256 and the length of its key and salt, in libsrtp's srtp.h."""


def material(suite: CryptoSuite, seed: int) -> KeyMaterial:
    """A key that is the same for the same seed."""
    return KeyMaterial(suite, bytes((seed * 31 + place * 7) % 256 for place in range(suite.key_salt_length)))


def session(key: KeyMaterial, direction: int) -> Session:
    """A session of libsrtp for one direction: `Policy.SSRC_ANY_INBOUND` or `SSRC_ANY_OUTBOUND`."""
    policy = Policy(key.key_salt, direction, srtp_profile=_PROFILES[key.suite])
    policy.window_size = 128
    if key.suite is CryptoSuite.AES_256_CM_HMAC_SHA1_80:
        for part in ("rtp", "rtcp"):
            # DTLS has no profile with this suite, so the binding names none; the first two words do.
            ffi = pylibsrtp.ffi  # type: ignore[attr-defined] # it is there, and not announced
            words = ffi.cast("uint32_t *", ffi.addressof(policy._policy, part))
            words[0], words[1] = _ICM_256, _ICM_256_KEY_SALT
    return Session(policy)


class Party:
    """The far side of `keys`: it sends with what they receive with."""

    def __init__(self, keys: SrtpKeys) -> None:
        self.sends = session(keys.receive, Policy.SSRC_ANY_OUTBOUND)
        self.hears = session(keys.send, Policy.SSRC_ANY_INBOUND)
