"""What agents and the memory hub say to each other: offers of what changed, and the union with what all others know.

MessagePack arrays, one frame each way. Only memories of one kin share: those whose keys and values mean the same.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from phasemesh.controller.memory.entries import LtmEntry
from phasemesh.controller.memory.rows import LARGEST_COUNT, StoreIdentity

SYNC_VERSION = 1
MOST_FRAME_BYTES = 8 * 2**20
"""A whole memory of 50 000 entries of 36 movements fits."""


class SharedEntry(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """One long-term entry under its key."""

    key: bytes
    stage: int
    q: float
    n: int
    mean: float
    m2: float
    updated_at_s: float


class Offer(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What one agent learned since its last offer.

    `kin` names what keys and values depend on. `hub` and `since` are the life and the revision of the hub that the
    agent heard last, 0 for none; the answer holds what changed after it.
    """

    version: int
    kin: bytes
    seq: int
    hub: int
    since: int
    entries: tuple[SharedEntry, ...]


class Union(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The hub's answer to the offer `seq`: what changed for the kin since the revision that it named.

    `wants_all` asks for everything that the agent knows, since the hub does not remember its earlier offers.
    """

    version: int
    seq: int
    hub: int
    revision: int
    wants_all: bool
    entries: tuple[SharedEntry, ...]


class WireFault(msgspec.Struct, frozen=True):
    """Why a frame is not believed."""

    reason: str


Message = TypeVar("Message", Offer, Union)
_ENCODER = msgspec.msgpack.Encoder()
_OFFERS = msgspec.msgpack.Decoder(Offer)
_UNIONS = msgspec.msgpack.Decoder(Union)


def encode(message: Offer | Union) -> bytes:
    """The frame of `message`."""
    return _ENCODER.encode(message)


def decode_offer(frame: bytes) -> Offer | WireFault:
    """The offer in `frame`, or why there is none."""
    return _checked(frame, _OFFERS)


def decode_union(frame: bytes) -> Union | WireFault:
    """The union in `frame`, or why there is none."""
    return _checked(frame, _UNIONS)


def _checked(frame: bytes, decoder: msgspec.msgpack.Decoder[Message]) -> Message | WireFault:
    try:
        message = decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return WireFault(f"is no message: {error}")
    if message.version != SYNC_VERSION:
        return WireFault(f"is of version {message.version}, this phasemesh speaks {SYNC_VERSION}")
    return message


def kin_of(identity: StoreIdentity) -> bytes:
    """The name of all memories whose entries mean the same, whichever intersection they are of."""
    return hashlib.sha256(msgspec.structs.replace(identity, intersection="").digest()).digest()


def shared(entries: Mapping[bytes, LtmEntry]) -> tuple[SharedEntry, ...]:
    """Entries as they are sent."""
    return tuple(
        SharedEntry(key, each.stage, each.q, each.n, each.mean, each.m2, each.updated_at_s)
        for key, each in entries.items()
    )


def believed(entries: tuple[SharedEntry, ...], key_bytes: int, stages: int) -> dict[bytes, LtmEntry]:
    """The entries that fit an intersection of so many movements and stages, by key; others are left out."""
    return {
        each.key: LtmEntry(each.stage, each.q, each.n, each.mean, each.m2, each.updated_at_s)
        for each in entries
        if len(each.key) == key_bytes and 0 <= each.stage < stages and is_sound(each)
    }


def is_sound(entry: SharedEntry) -> bool:
    """Whether an entry has numbers that a memory could have learned."""
    numbers = (entry.q, entry.mean, entry.m2, entry.updated_at_s)
    return all(map(math.isfinite, numbers)) and entry.m2 >= 0.0 and 0 < entry.n <= LARGEST_COUNT
