"""The wire messages between agents: one MessagePack array a frame, floats as little-endian bytes.

Version 1: summary and policy in single precision, hidden state in half precision. A message of step t carries the
summary of step t and the policy and hidden state of step t-1. docs/messages.md is the authoritative description.
"""

from __future__ import annotations

import msgspec
import numpy as np

from phasemesh.contract.observation import HIDDEN_SIZE, POLICY_SIZE, SPEC_HASH, SUMMARY_SIZE, FloatArray
from phasemesh.contract.units import IntersectionId

WIRE_VERSION = 1
HELLO_STEP = -1
"""Step of the messages that only announce a living peer; they carry nothing that may be used."""


HALF_MAX = float(np.finfo(np.float16).max)
"""Largest number of the hidden state's half precision; larger ones are cut to it."""


class PeerMessage(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What an agent tells its neighbours once a tick; `boot_id` names its life, `seq` rises within it."""

    version: int
    spec_hash: str
    sender: IntersectionId
    boot_id: int
    seq: int
    step: int
    summary: bytes
    policy: bytes
    hidden: bytes


class MessageFault(msgspec.Struct, frozen=True):
    """Why a frame was dropped; `kind` is one word for counters."""

    kind: str
    detail: str


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(PeerMessage)
_SIZES = {"summary": 4 * SUMMARY_SIZE, "policy": 4 * POLICY_SIZE, "hidden": 2 * HIDDEN_SIZE}


def compose(
    sender: IntersectionId,
    boot_id: int,
    seq: int,
    step: int,
    *,
    summary: FloatArray,
    policy: FloatArray,
    hidden: FloatArray,
) -> PeerMessage:
    """A message of this version; `policy` [S] is padded with zeros or cut to 16 stages."""
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
    )


def hello(sender: IntersectionId, boot_id: int, seq: int) -> PeerMessage:
    """A message that announces a living peer and nothing else."""
    zeros = np.zeros(max(SUMMARY_SIZE, HIDDEN_SIZE), dtype=np.float32)
    return compose(
        sender, boot_id, seq, HELLO_STEP, summary=zeros[:SUMMARY_SIZE], policy=zeros[:0], hidden=zeros[:HIDDEN_SIZE]
    )


def encode_message(message: PeerMessage) -> bytes:
    """The wire form of `message`, without its topic prefix."""
    return _ENCODER.encode(message)


def decode_message(frame: bytes) -> PeerMessage | MessageFault:
    """The message in `frame`, or why it must be dropped: garbled, another version, another spec, wrong sizes, NaN."""
    try:
        message = _DECODER.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _undecodable(frame, str(error))
    if message.version != WIRE_VERSION:
        return MessageFault("version", f"wire version {message.version}, this agent speaks {WIRE_VERSION}")
    if message.spec_hash != SPEC_HASH:
        return MessageFault("spec", f"observation spec {message.spec_hash}, this agent has {SPEC_HASH}")
    for name, size in _SIZES.items():
        if len(getattr(message, name)) != size:
            return MessageFault("garbled", f"{name} has {len(getattr(message, name))} bytes, not {size}")
    if not np.isfinite(vector(message)).all():
        return MessageFault("not_finite", "a number is not finite")
    return message


def _undecodable(frame: bytes, reason: str) -> MessageFault:
    """Tell a message of another version, whose fields may differ, from garbage: both begin as MessagePack arrays do."""
    is_short_array, first = frame[:1] >= b"\x90" and frame[:1] <= b"\x9f", frame[1:2]
    if is_short_array and b"\x00" < first < b"\x80" and first[0] != WIRE_VERSION:
        return MessageFault("version", f"wire version {first[0]}, this agent speaks {WIRE_VERSION}")
    return MessageFault("garbled", reason)


def vector(message: PeerMessage) -> FloatArray:
    """The row [D] of `neighbour_messages` that `message` becomes: summary, policy, hidden state."""
    return np.concatenate(
        (
            np.frombuffer(message.summary, dtype="<f4"),
            np.frombuffer(message.policy, dtype="<f4"),
            np.frombuffer(message.hidden, dtype="<f2").astype(np.float32),
        )
    )
