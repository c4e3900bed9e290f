"""The wire: round trips, a golden frame of each version, every fault, and frames that nobody sent."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from phasemesh.contract.messages import (
    ECHO_MAX_BYTES,
    HEARD_BYTES,
    HELLO_STEP,
    WIRE_VERSION,
    Heard,
    MessageFault,
    PeerMessage,
    compose,
    decode_message,
    echoed,
    encode_message,
    hello,
    vector,
)
from phasemesh.contract.observation import (
    FEATURE_CAP,
    HIDDEN_SIZE,
    MESSAGE_SIZE,
    POLICY_SIZE,
    SPEC_HASH,
    SUMMARY_SIZE,
    FloatArray,
)
from phasemesh.contract.topics import PEER_STATE
from phasemesh.contract.units import IntersectionId
from strategies import brisk

GOLDEN = Path(__file__).parent.parent / "golden" / "peer_message_v2.bin"
GOLDENS = {1: GOLDEN.with_name("peer_message_v1.bin"), 2: GOLDEN}
ECHO = (Heard(IntersectionId("north/ö"), 2.5), Heard(IntersectionId("south"), None))
GOLDEN_SPEC_HASH = "fff41a89b7b6ae9b"

_f4 = st.floats(-1e6, 1e6, width=32)
_f2 = st.floats(-60_000, 60_000, width=16)
_echoes = st.lists(
    st.builds(Heard, st.text(max_size=20), st.none() | st.floats(0.0, allow_nan=False, allow_infinity=False)),
    max_size=5,
).map(tuple)


def _ramp(size: int) -> FloatArray:
    return ((np.arange(size) - 8) / 16).astype(np.float32)


def _vectors(policy: FloatArray) -> dict[str, FloatArray]:
    return {"summary": _ramp(SUMMARY_SIZE), "policy": policy, "hidden": _ramp(HIDDEN_SIZE)}


def _golden_message(version: int = 2) -> PeerMessage:
    return PeerMessage(
        version=version,
        spec_hash=GOLDEN_SPEC_HASH,
        sender=IntersectionId("cluster_12/ä#3"),
        boot_id=2**62 + 5,
        seq=4711,
        step=4242,
        summary=_ramp(36).astype("<f4").tobytes(),
        policy=_ramp(16).astype("<f4").tobytes(),
        hidden=_ramp(64).astype("<f2").tobytes(),
        heard=None if version == 1 else ECHO,
    )


def _message(**changes: object) -> PeerMessage:
    message = compose(IntersectionId("a"), 1, 2, 3, **_vectors(_ramp(4)), heard=ECHO)
    return msgspec.structs.replace(message, **changes)


def _fault(frame: bytes) -> MessageFault:
    decoded = decode_message(frame)
    assert isinstance(decoded, MessageFault)
    return decoded


@brisk
@given(
    sender=st.text(max_size=40),
    numbers=st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1), st.integers(-1, 2**31)),
    summary=npst.arrays(np.float32, SUMMARY_SIZE, elements=_f4),
    policy=npst.arrays(np.float32, st.integers(0, POLICY_SIZE), elements=_f4),
    hidden=npst.arrays(np.float32, HIDDEN_SIZE, elements=_f2),
    heard=_echoes,
)
def test_messages_survive_the_wire(
    sender: str,
    numbers: tuple[int, int, int],
    summary: FloatArray,
    policy: FloatArray,
    hidden: FloatArray,
    heard: tuple[Heard, ...],
) -> None:
    """A message decodes to itself, and its row holds the very numbers that went in, as far as they can be true."""
    message = compose(IntersectionId(sender), *numbers, summary=summary, policy=policy, hidden=hidden, heard=heard)
    decoded = decode_message(encode_message(message))

    assert decoded == message
    row = vector(message)
    assert row.shape == (MESSAGE_SIZE,)
    np.testing.assert_array_equal(row[:SUMMARY_SIZE], summary.clip(0.0, FEATURE_CAP))
    np.testing.assert_array_equal(row[SUMMARY_SIZE : SUMMARY_SIZE + len(policy)], policy.clip(0.0, 1.0))
    np.testing.assert_array_equal(row[-HIDDEN_SIZE:], hidden)


@pytest.mark.parametrize("version", GOLDENS)
def test_the_golden_frame_of_a_version_is_what_that_version_sends(version: int) -> None:
    """The bytes of a fixed message never change while its wire version is the same."""
    frame = encode_message(_golden_message(version))

    assert max(GOLDENS) == WIRE_VERSION
    assert frame == GOLDENS[version].read_bytes(), "a changed frame needs a new WIRE_VERSION"


@pytest.mark.parametrize("version", GOLDENS)
def test_the_golden_frame_of_a_version_decodes_for_ever(version: int) -> None:
    """An old frame is a message or, under another spec, the fault that says so; it is never garbled."""
    decoded = decode_message(GOLDENS[version].read_bytes())

    if SPEC_HASH == GOLDEN_SPEC_HASH:
        assert decoded == _golden_message(version)
    else:
        assert isinstance(decoded, MessageFault)
        assert decoded.kind == "spec"


def test_the_wire_is_little_endian_on_every_machine() -> None:
    """The first number of the golden summary is -0.5 in little-endian single precision."""
    assert _golden_message().summary[:4] == b"\x00\x00\x00\xbf"
    assert _golden_message().hidden[:2] == b"\x00\xb8"


def test_a_policy_is_padded_to_the_room_of_the_message() -> None:
    """Stages that an intersection does not have are zeros."""
    row = vector(_message())

    assert row[SUMMARY_SIZE : SUMMARY_SIZE + 4].tolist() == _ramp(4).clip(0.0, 1.0).tolist()
    assert row[SUMMARY_SIZE + 4 : SUMMARY_SIZE + POLICY_SIZE].tolist() == [0.0] * (POLICY_SIZE - 4)


def test_a_policy_of_more_stages_is_cut() -> None:
    """An intersection with twenty stages sends the first sixteen."""
    message = compose(IntersectionId("a"), 1, 2, 3, **_vectors(_ramp(20)))

    assert np.frombuffer(message.policy, "<f4").tolist() == _ramp(20)[:POLICY_SIZE].tolist()


def test_the_hidden_state_travels_in_half_precision() -> None:
    """A third arrives as the half nearest to it."""
    hidden = np.full(HIDDEN_SIZE, 1 / 3, dtype=np.float32)
    message = compose(IntersectionId("a"), 1, 2, 3, **{**_vectors(_ramp(2)), "hidden": hidden})

    assert vector(message)[-1] == np.float32(np.float16(1 / 3))


def test_a_message_of_version_1_says_the_same_without_an_echo() -> None:
    """What goes out as the version before has the same row of numbers and no word of whom its sender hears (F30)."""
    old = decode_message(encode_message(_message(version=1)))

    assert isinstance(old, PeerMessage)
    assert (old.version, old.heard) == (1, None)
    assert vector(old).tolist() == vector(_message()).tolist()


@pytest.mark.parametrize("age_s", [0.0, 2.0, 1e9, None])
def test_the_echo_names_neighbours_with_their_ages(age_s: float | None) -> None:
    """Any age, and also that there never was a message."""
    entry = Heard(IntersectionId("b"), age_s)
    decoded = decode_message(encode_message(_message(heard=(entry,))))

    assert isinstance(decoded, PeerMessage)
    assert decoded.heard == (entry,)


@given(st.lists(st.text(max_size=300), max_size=60, unique=True))
def test_the_echo_is_cut_before_its_message_is_too_long(names: list[str]) -> None:
    """The neighbours that it has room for are the first ones, and with them a frame has a length that is accepted."""
    neighbours = [IntersectionId(name) for name in names]
    kept = echoed(neighbours)
    message = _message(sender=IntersectionId("x" * 1000), heard=tuple(Heard(name, 1e300) for name in kept))
    room = ECHO_MAX_BYTES - sum(len(name.encode()) + HEARD_BYTES for name in kept)

    assert list(kept) == neighbours[: len(kept)]
    assert all(len(name.encode()) + HEARD_BYTES > room for name in neighbours[len(kept) : len(kept) + 1])
    assert len(PEER_STATE.prefix) + len(encode_message(message)) <= PEER_STATE.max_bytes


@pytest.mark.parametrize("value", [-3e38, -1.0, 9.0, 3e38])
@pytest.mark.parametrize(("name", "low", "high"), [("summary", 0.0, FEATURE_CAP), ("policy", 0.0, 1.0)])
def test_no_number_is_beyond_what_a_sound_agent_says(name: str, low: float, high: float, value: float) -> None:
    """A neighbour with a defect is heard, but its numbers are cut to the range of our own before a policy sees them."""
    size = len(getattr(_message(), name)) // 4
    message = _message(**{name: np.full(size, value, dtype="<f4").tobytes()})
    start = 0 if name == "summary" else SUMMARY_SIZE

    assert decode_message(encode_message(message)) == message
    assert set(vector(message)[start : start + size].tolist()) == {min(max(value, low), high)}


def test_hello_is_a_message_that_carries_nothing() -> None:
    """The greeting decodes, has the step of greetings and only zeros."""
    message = decode_message(encode_message(hello(IntersectionId("a"), 7, 1)))

    assert isinstance(message, PeerMessage)
    assert message.step == HELLO_STEP
    assert not vector(message).any()


def test_a_message_fits_the_longest_frame_of_its_topic() -> None:
    """Even a very long id leaves a frame within the limit of the topic table."""
    message = _message(sender=IntersectionId("x" * 1000), boot_id=2**63 - 1, seq=2**63 - 1)

    assert len(PEER_STATE.prefix) + len(encode_message(message)) <= PEER_STATE.max_bytes


@pytest.mark.parametrize("version", [0, 3, -1, 2**40])
def test_another_version_is_refused_by_name(version: int) -> None:
    """A frame of another wire version is dropped and the fault says both versions."""
    fault = _fault(encode_message(_message(version=version)))

    assert fault == MessageFault("version", f"wire version {version}, this agent speaks 1 and 2")


def test_a_version_to_come_is_refused_by_name_whatever_its_fields_are() -> None:
    """The version stays the first element, so that a frame of unknown shape is told from garbage."""
    frame = msgspec.msgpack.encode([3, SPEC_HASH, "a", 1, 2, 3, b"", b"", b"", [], {"what": "nobody knows"}])

    assert _fault(frame) == MessageFault("version", "wire version 3, this agent speaks 1 and 2")


@pytest.mark.parametrize(
    ("version", "last"), [(1, [[]]), (1, [None]), (1, [[["b", 1.0]]]), (2, []), (2, [None])], ids=str
)
def test_fields_of_another_version_are_garbled(version: int, last: list[object]) -> None:
    """An echo belongs to every message of version 2 and to none of version 1, not even an empty one."""
    values = [version, *msgspec.structs.astuple(_message())[1:9], *last]

    assert _fault(msgspec.msgpack.encode(values)).kind == "garbled"


@pytest.mark.parametrize(
    "echo",
    [[["b"]], [["b", 1.0, 2.0]], [[1, 1.0]], [["b", "old"]], [["b", -0.5]], {"b": 1.0}, "b", [[b"b", 1.0]]],
    ids=str,
)
def test_an_echo_of_another_shape_is_garbled(echo: object) -> None:
    """Entries are pairs of an id and an age that is no less than 0, or nil."""
    values = [*msgspec.structs.astuple(_message())[:9], echo]

    assert _fault(msgspec.msgpack.encode(values)).kind == "garbled"


@pytest.mark.parametrize("age_s", [np.nan, np.inf, -np.inf])
def test_an_age_that_is_not_finite_is_refused(age_s: float) -> None:
    """A neighbour that was never heard is nil, not infinitely old."""
    assert _fault(encode_message(_message(heard=(*ECHO, Heard(IntersectionId("c"), age_s))))).kind == "not_finite"


def test_another_spec_is_refused_by_name() -> None:
    """A neighbour with another observation spec is not understood, and the fault says both hashes."""
    fault = _fault(encode_message(_message(spec_hash="0123456789abcdef")))

    assert fault == MessageFault("spec", f"observation spec 0123456789abcdef, this agent has {SPEC_HASH}")


@pytest.mark.parametrize("name", ["summary", "policy", "hidden"])
@pytest.mark.parametrize("size", [0, 1, 127, 129, 4096])
def test_another_size_is_garbled(name: str, size: int) -> None:
    """A vector of another number of bytes is dropped before it is read."""
    fault = _fault(encode_message(_message(**{name: bytes(size)})))

    assert fault.kind == "garbled"
    assert fault.detail.startswith(f"{name} has {size} bytes")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "dtype"), [("summary", "<f4"), ("policy", "<f4"), ("hidden", "<f2")])
def test_a_number_that_is_not_finite_is_refused(name: str, dtype: str, value: float) -> None:
    """NaN and infinity in any vector drop the frame."""
    numbers = np.frombuffer(getattr(_message(), name), dtype).copy()
    numbers[-1] = value

    assert _fault(encode_message(_message(**{name: numbers.tobytes()}))).kind == "not_finite"


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc0",
        b"\x90",
        b"\xff" * 400,
        b"\x91" * 5000,
        b"not msgpack at all",
        msgspec.msgpack.encode({"version": 1}),
        msgspec.msgpack.encode([1, SPEC_HASH, "a"]),
        msgspec.msgpack.encode([1, SPEC_HASH, "a", 1, 2, "three", b"", b"", b""]),
        msgspec.msgpack.encode([1, SPEC_HASH, "a", 2**64 - 1, 2, 3.5, b"", b"", b""]),
        encode_message(_message()) + b"\x00",
        encode_message(_message())[:-1],
    ],
)
def test_what_is_no_message_is_garbled(frame: bytes) -> None:
    """Nothing, noise, other shapes, other types, and frames cut short or too long are dropped as garbled."""
    assert _fault(frame).kind == "garbled"


@pytest.mark.parametrize("text", [b"\xa1\xff", b"\xa2\xc3\x28", b"\xa3\xed\xa0\x80"])
def test_an_id_that_is_no_utf8_is_garbled(text: bytes) -> None:
    """A sender whose bytes are no text drops the frame like any other noise."""
    frame = encode_message(_message()).replace(b"\xa1a", text, 1)

    assert _fault(frame).kind == "garbled"


@given(st.binary(max_size=600))
def test_random_bytes_never_raise(frame: bytes) -> None:
    """Whatever arrives is a message or a fault."""
    assert isinstance(decode_message(frame), PeerMessage | MessageFault)


@given(st.lists(st.binary(max_size=200) | st.integers(-(2**63), 2**64 - 1) | st.text() | st.none(), max_size=10))
def test_random_arrays_never_raise(values: list[object]) -> None:
    """Well-formed MessagePack of any content is a message or a fault."""
    assert isinstance(decode_message(msgspec.msgpack.encode(values)), PeerMessage | MessageFault)


@pytest.mark.parametrize("version", GOLDENS)
def test_no_flipped_bit_raises(version: int) -> None:
    """Each frame that differs in one bit from a good one is a message or a fault."""
    frame = bytearray(GOLDENS[version].read_bytes())
    raising = []
    for position in range(8 * len(frame)):
        frame[position // 8] ^= 1 << position % 8
        try:
            decode_message(bytes(frame))
        except ValueError as error:
            raising.append((position, str(error)))
        frame[position // 8] ^= 1 << position % 8

    assert raising == []


@pytest.mark.parametrize("version", GOLDENS)
def test_no_truncation_is_a_message(version: int) -> None:
    """A frame cut anywhere is garbled."""
    frame = GOLDENS[version].read_bytes()

    assert {_fault(frame[:size]).kind for size in range(len(frame))} == {"garbled"}
