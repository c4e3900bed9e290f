"""The wire messages between agents: one MessagePack array a frame, floats as little-endian bytes.

Summary and policy travel in single precision, the hidden state in half precision. A message of step t carries the
summary of step t and the policy and hidden state of step t-1. Version 2 adds to version 1 the echo: how long ago its
sender heard each of its neighbours. Both are understood. docs/messages.md is the authoritative description.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np

from phasemesh.contract.observation import (
    FEATURE_CAP,
    HIDDEN_SIZE,
    POLICY_SIZE,
    SPEC_HASH,
    SUMMARY_SIZE,
    FloatArray,
)
from phasemesh.contract.units import IntersectionId

WIRE_VERSION = 2
ECHOLESS_VERSION = 1
"""The version before, whose messages have no echo; a city is upgraded one box at a time (fault F30)."""
HELLO_STEP = -1
"""Step of the messages that only announce a living peer; they carry nothing that may be used."""
ECHO_MAX_BYTES = 2048
"""Room for the echo in a message, so that whatever ids neighbours have a frame stays below the limit of its topic."""
HEARD_BYTES = 13
"""Most that an entry of the echo takes beside the id: heads of array and text, and the age in double precision."""

HALF_MAX = float(np.finfo(np.float16).max)
"""Largest number of the hidden state's half precision; larger ones are cut to it."""


class Heard(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One entry of the echo: the newest message of `neighbour` was accepted `age_s` ago, or none ever (None).

    Ages are in seconds, counted in control intervals of the sender: not wall time, and not below one interval.
    """

    neighbour: IntersectionId
    age_s: float | None


class PeerMessage(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What an agent tells its neighbours once a tick; `boot_id` names its life, `seq` rises within it.

    `heard` is the echo, None in a message of version 1.
    """

    version: int
    spec_hash: str
    sender: IntersectionId
    boot_id: int
    seq: int
    step: int
    summary: bytes
    policy: bytes
    hidden: bytes
    heard: tuple[Heard, ...] | None = None


class MessageFault(msgspec.Struct, frozen=True):
    """Why a frame was dropped; `kind` is one word for counters."""

    kind: str
    detail: str


_RANGES = ((SUMMARY_SIZE, 0.0, FEATURE_CAP), (POLICY_SIZE, 0.0, 1.0), (HIDDEN_SIZE, -HALF_MAX, HALF_MAX))
"""Size of each part of a vector, and the lowest and highest number in one of a sound agent."""
_LOWEST: FloatArray = np.concatenate([np.full(size, low, dtype=np.float32) for size, low, _ in _RANGES])
_HIGHEST: FloatArray = np.concatenate([np.full(size, high, dtype=np.float32) for size, _, high in _RANGES])

_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(PeerMessage)
_SIZES = {"summary": 4 * SUMMARY_SIZE, "policy": 4 * POLICY_SIZE, "hidden": 2 * HIDDEN_SIZE}
_OPENINGS: dict[int, bytes] = {ECHOLESS_VERSION: b"\x99", WIRE_VERSION: b"\x9a"}
"""Every version that is understood, and the byte that opens its frames: a MessagePack array of 9 or of 10 elements."""
_SPOKEN = " and ".join(map(str, _OPENINGS))


def compose(
    sender: IntersectionId,
    boot_id: int,
    seq: int,
    step: int,
    *,
    summary: FloatArray,
    policy: FloatArray,
    hidden: FloatArray,
    heard: tuple[Heard, ...] = (),
) -> PeerMessage:
    """A message of this version; `policy` [S] is padded with zeros or cut to 16 stages.

    `heard` may name the neighbours that `echoed` gives and no others.
    """
    padded = np.zeros(POLICY_SIZE, dtype=np.float32)
    padded[: min(len(policy), POLICY_SIZE)] = policy[:POLICY_SIZE]
    return PeerMessage(
        version=WIRE_VERSION,
        spec_hash=SPEC_HASH,
        sender=sender,
        boot_id=boot_id,
        seq=seq,
        step=step,
        summary=summary.astype("<f4").tobytes(),
        policy=padded.astype("<f4").tobytes(),
        hidden=np.clip(hidden, -HALF_MAX, HALF_MAX).astype("<f2").tobytes(),
        heard=heard,
    )


def echoed(neighbours: Sequence[IntersectionId]) -> tuple[IntersectionId, ...]:
    """The first of `neighbours` for which the echo has room; with ids as they are usual, all of them."""
    sizes = [len(name.encode()) + HEARD_BYTES for name in neighbours]
    return tuple(name for count, name in enumerate(neighbours, start=1) if sum(sizes[:count]) <= ECHO_MAX_BYTES)


def hello(sender: IntersectionId, boot_id: int, seq: int) -> PeerMessage:
    """A message that announces a living peer and nothing else."""
    zeros = np.zeros(max(SUMMARY_SIZE, HIDDEN_SIZE), dtype=np.float32)
    return compose(
        sender, boot_id, seq, HELLO_STEP, summary=zeros[:SUMMARY_SIZE], policy=zeros[:0], hidden=zeros[:HIDDEN_SIZE]
    )


def encode_message(message: PeerMessage) -> bytes:
    """The wire form of `message`, without its topic prefix; one of version 1 goes without its echo."""
    if message.version == ECHOLESS_VERSION:
        return _ENCODER.encode(msgspec.structs.astuple(message)[:-1])
    return _ENCODER.encode(message)


def decode_message(frame: bytes) -> PeerMessage | MessageFault:
    """The message in `frame`, or why it must be dropped: garbled, another version, another spec, wrong sizes, NaN."""
    try:
        message = _DECODER.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _undecodable(frame, str(error))
    if message.version not in _OPENINGS:
        return MessageFault("version", f"wire version {message.version}, this agent speaks {_SPOKEN}")
    if message.spec_hash != SPEC_HASH:
        return MessageFault("spec", f"observation spec {message.spec_hash}, this agent has {SPEC_HASH}")
    return _content_fault(frame, message) or message


def _content_fault(frame: bytes, message: PeerMessage) -> MessageFault | None:
    """What is wrong with the fields of a message whose version and spec are known."""
    has_echo = message.version != ECHOLESS_VERSION
    if not frame.startswith(_OPENINGS[message.version]) or has_echo != (message.heard is not None):
        return MessageFault("garbled", f"not the fields of version {message.version}")
    for name, size in _SIZES.items():
        if len(getattr(message, name)) != size:
            return MessageFault("garbled", f"{name} has {len(getattr(message, name))} bytes, not {size}")
    ages_s = [entry.age_s for entry in message.heard or () if entry.age_s is not None]
    if not np.isfinite(_numbers(message)).all() or not all(map(math.isfinite, ages_s)):
        return MessageFault("not_finite", "a number is not finite")
    if min(ages_s, default=0.0) < 0.0:
        return MessageFault("garbled", f"heard {min(ages_s)} s ago")
    return None


def _undecodable(frame: bytes, reason: str) -> MessageFault:
    """Tell a message of another version, whose fields may differ, from garbage: both begin as MessagePack arrays do."""
    is_short_array, first = frame[:1] >= b"\x90" and frame[:1] <= b"\x9f", frame[1:2]
    if is_short_array and b"\x00" < first < b"\x80" and first[0] not in _OPENINGS:
        return MessageFault("version", f"wire version {first[0]}, this agent speaks {_SPOKEN}")
    return MessageFault("garbled", reason)


def vector(message: PeerMessage) -> FloatArray:
    """The row [D] of `neighbour_messages` that `message` becomes: summary, policy, hidden state, cut to their ranges.

    The ranges are those of what a sound agent sends: scaled features, probabilities, half precision. Cut here and not
    refused by the decoder: no range tells a lie from an odd street, a neighbour that is only odd is still fresh, and a
    record keeps what was sent, which replay cuts by the same function.
    """
    return np.minimum(np.maximum(_numbers(message), _LOWEST), _HIGHEST)


def _numbers(message: PeerMessage) -> FloatArray:
    return np.concatenate(
        (
            np.frombuffer(message.summary, dtype="<f4"),
            np.frombuffer(message.policy, dtype="<f4"),
            np.frombuffer(message.hidden, dtype="<f2").astype(np.float32),
        )
    )
