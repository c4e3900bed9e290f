"""Faults F4 to F7 and F30 on single frames: what arrives in place of a true message."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from phasemesh.contract.messages import ECHOLESS_VERSION, PeerMessage, decode_message, encode_message
from phasemesh.contract.topics import PEER_STATE
from phasemesh.contract.units import IntersectionId

FLOOD_FRAMES = 100
"""Frames of garbage beside every true one."""
OVERSIZE_BYTES = 10 * PEER_STATE.max_bytes
STRANGER = IntersectionId("an intersection that is elsewhere")
NEXT_WIRE_VERSION = 99
OLD_VERSION = "message-version-before"
"""Messages as agents send them that were not upgraded yet; they must be used."""

Past = Sequence[bytes]
"""Frames of the same link that arrived before, the oldest first."""
Trouble = Callable[[bytes, Past, random.Random, float], list[bytes]]
"""From a true frame, the past of its link, a source of draws and a strength to the frames that arrive instead."""


def _lost(frame: bytes, _past: Past, draws: random.Random, share: float) -> list[bytes]:
    return [] if draws.random() < share else [frame]


def _reordered(frame: bytes, past: Past, draws: random.Random, _strength: float) -> list[bytes]:
    """Every other frame comes again after its successor."""
    return [frame, past[-1]] if past and draws.random() < 0.5 else [frame]


def _replayed(frame: bytes, past: Past, _draws: random.Random, _strength: float) -> list[bytes]:
    return [past[0]] if past else [frame]


def _garbled(frame: bytes, _past: Past, draws: random.Random, _strength: float) -> list[bytes]:
    """Cut somewhere, with one bit flipped in every eighth byte of the rest."""
    cut = bytearray(frame[: draws.randrange(1, len(frame))])
    for index in range(0, len(cut), 8):
        cut[index] ^= 1 << draws.randrange(8)
    return [bytes(cut)]


def _oversized(frame: bytes, _past: Past, _draws: random.Random, _strength: float) -> list[bytes]:
    return [frame + bytes(OVERSIZE_BYTES)]


def _flooded(frame: bytes, _past: Past, draws: random.Random, _strength: float) -> list[bytes]:
    return [*(draws.randbytes(64) for _ in range(FLOOD_FRAMES)), frame]


def _changed(frame: bytes, **changes: object) -> list[bytes]:
    message = decode_message(frame)
    return [encode_message(msgspec.structs.replace(message, **changes))] if isinstance(message, PeerMessage) else []


def _forged(frame: bytes, _past: Past, _draws: random.Random, _strength: float) -> list[bytes]:
    return _changed(frame, sender=STRANGER)


def _of_next_version(frame: bytes, _past: Past, _draws: random.Random, _strength: float) -> list[bytes]:
    return _changed(frame, version=NEXT_WIRE_VERSION)


def _of_version_before(frame: bytes, _past: Past, _draws: random.Random, _strength: float) -> list[bytes]:
    return _changed(frame, version=ECHOLESS_VERSION)


def _of_other_spec(frame: bytes, _past: Past, _draws: random.Random, _strength: float) -> list[bytes]:
    return _changed(frame, spec_hash="0" * 16)


def _not_finite(frame: bytes, _past: Past, _draws: random.Random, _strength: float) -> list[bytes]:
    message = decode_message(frame)
    size = len(message.summary) if isinstance(message, PeerMessage) else 0
    return _changed(frame, summary=np.full(size // 4, np.nan, dtype="<f4").tobytes())


MESSAGE_TROUBLES: dict[str, Trouble] = {
    "message-loss": _lost,
    "message-reorder": _reordered,
    "message-replay": _replayed,
    "message-garble": _garbled,
    "message-oversize": _oversized,
    "message-flood": _flooded,
    "message-forge": _forged,
    "message-version": _of_next_version,
    OLD_VERSION: _of_version_before,
    "message-spec": _of_other_spec,
    "message-nan": _not_finite,
}

DROPPED_AS: dict[str, str] = {
    "message-garble": "garbled",
    "message-oversize": "oversize",
    "message-nan": "not_finite",
    "message-replay": "replayed",
    "message-reorder": "replayed",
    "message-forge": "forged",
    "message-flood": "garbled",
    "message-version": "version",
    "message-spec": "spec",
}
"""As what a mailbox has to count the frames that it must not use."""
