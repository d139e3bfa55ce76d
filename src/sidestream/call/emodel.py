"""An estimate of how well a call could be heard: the E-model of ITU-T G.107 with its default parameters.

`R = Ro - Is - Id - Ie,eff`, and from R the mean opinion score (G.107 Annex B). Ro and Is are constants,
because everything that happens in telephones and rooms is taken as G.107's defaults have it; Id is computed
in full (talker echo at TELR 65 dB, listener echo at WEPL 110 dB, pure delay), Ie,eff by clause 7.5 from the
codec's values of G.113 Appendix I, packet loss and its burstiness.

It says how a narrow-band connection would be rated by many listeners, never how a call sounded to one. It
does not know the far side's jitter buffer and concealment, echo that is louder than the default, or noise.
"""

import math
from dataclasses import dataclass
from typing import Final

_RO: Final = 94.7688
"""Signal to noise: loudness ratings 8 and 2 dB, room noise 35 dB(A) (G.107 clause 7.2)."""
_IS: Final = 1.4136
"""Simultaneous impairments at the default loudness, sidetone and one quantisation (clause 7.3)."""
_NO: Final = -61.1792
"""Sum of noises in dBm0p (clause 7.2)."""
_RLR: Final = 2.0
_TELR: Final = 65.0
_WEPL: Final = 110.0
_WORST_BURST: Final = 20.0
"""Beyond it the formula says little: G.107 was checked for short bursts only."""


@dataclass(frozen=True, slots=True)
class Impairment:
    """What a codec does to speech (G.113 Appendix I).

    Attributes:
        ie: equipment impairment factor without loss.
        bpl: packet-loss robustness factor; the greater, the less a lost packet hurts.
    """

    ie: float
    bpl: float


IMPAIRMENTS: Final[dict[str, Impairment]] = {
    "PCMU": Impairment(0, 25.1),
    "PCMA": Impairment(0, 25.1),
    "G729": Impairment(11, 19.0),
    "G723": Impairment(15, 16.1),
    "GSM-EFR": Impairment(5, 10.0),
}
"""G.711 with packet-loss concealment, as telephones have it (without it Bpl is 4.3), G.729A with VAD, G.723.1
at 6.3 kbit/s with VAD, GSM-EFR. There is none for wide-band codecs: their scale is another (G.107.1)."""


def delay_impairment(delay_ms: float) -> float:
    """Return Id for a mouth-to-ear delay, without echo beyond the defaults (G.107 clause 7.4)."""
    return _talker_echo(delay_ms) + _listener_echo(2 * delay_ms) + _pure_delay(delay_ms)


def _talker_echo(delay_ms: float) -> float:
    terv = (
        _TELR - 40 * math.log10((1 + delay_ms / 10) / (1 + delay_ms / 150)) + 6 * math.exp(-0.3 * delay_ms**2)
    )
    half = (-1.5 * (_NO - _RLR) - (80 + 2.5 * (terv - 14))) / 2
    return (half + math.sqrt(half**2 + 100) - 1) * (1 - math.exp(-delay_ms))


def _listener_echo(round_trip_ms: float) -> float:
    half = (_RO - 10.5 * (_WEPL + 7) * math.pow(round_trip_ms + 1, -0.25)) / 2
    return half + math.sqrt(half**2 + 169)


def _pure_delay(delay_ms: float) -> float:
    if delay_ms <= 100:
        return 0.0
    x = math.log2(delay_ms / 100)
    return 25 * (math.pow(1 + x**6, 1 / 6) - 3 * math.pow(1 + (x / 3) ** 6, 1 / 6) + 2)


def equipment_impairment(codec: Impairment, loss_percent: float, burst_ratio: float = 1.0) -> float:
    """Return Ie,eff, 0 to 95 (G.107 clause 7.5).

    Args:
        codec: its values.
        loss_percent: packets lost, 0 to 100.
        burst_ratio: mean length of bursts over that of random loss; 1 is random.
    """
    if loss_percent <= 0:
        return codec.ie
    ratio = min(max(burst_ratio, 1.0), _WORST_BURST)
    # Beyond what the formula was made for, bursts would cost more than there is.
    return min(95.0, codec.ie + (95 - codec.ie) * loss_percent / (loss_percent / ratio + codec.bpl))


def burst_ratio(lost: int, received: int, bursts: int) -> float | None:
    """Return the burst ratio of a loss (G.107 clause 7.5), None when it cannot be told.

    Args:
        lost: packets that never came.
        received: packets that came.
        bursts: runs of lost packets.
    """
    if lost <= 0 or bursts <= 0 or received <= 0:
        return None
    # Random loss has runs of 1/(1-p) in the mean.
    return max(1.0, lost / bursts * received / (received + lost))


def rating(delay_ms: float, ie_eff: float) -> float:
    """Return R, 0 to 93.2."""
    return max(0.0, _RO - _IS - delay_impairment(max(0.0, delay_ms)) - ie_eff)


def mean_opinion_score(r: float) -> float:
    """Return the score that a rating stands for, 1 to 4.5 (G.107 Annex B)."""
    if r <= 6.5:
        return 1.0
    if r >= 100:
        return 4.5
    return 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6
