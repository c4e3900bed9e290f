"""Random mutations of what a decoder gets: of plain bytes, and of the values in JSON and MessagePack."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from enum import StrEnum
from random import Random
from typing import Any

import msgpack

MAX_BYTES = 65_536
_TOKENS = (
    *(b"\x00", b"\xff", b"\xc1", b"\xdf\xff\xff\xff\xff", b"\xc7\x00\x00", b"[" * 3000, b'{"a":' * 3000, b"NaN"),
    *(b"1e999", b"-0", b"9" * 5000, b"\xed\xa0\x80", b"\r\n", b"\n", b" ", b'"', b"\\", b"\\u0000", b"null", b"0x0"),
)
_NESTED: list[Any] = []
for _ in range(400):
    _NESTED = [_NESTED]
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**40),
    *(0.0, -0.0, 0.5, 1e-320, 1e308, -1e308, math.nan, math.inf, -math.inf),
    *(
        "",
        " ",
        "\x00",
        "\ud800",
        "\N{ARABIC-INDIC DIGIT ONE}" * 40,
        "9" * 5000,
        "a" * 300,
        "../../etc/passwd",
        "/",
        ".",
    ),
    *([], {}, [[]], [None], {"": 0}, _NESTED, b"", b"\xff" * 40),
)
"""Values that a decoder does not get from a friend."""


class Form(StrEnum):
    """How the bytes of a target are to be read when their values are mutated."""

    JSON = "json"
    MSGPACK = "msgpack"
    LINES = "lines"
    PLAIN = "plain"


def mutated(random: Random, data: bytes, form: Form) -> bytes:
    """`data` with one to four mutations, of its values where it can be read and of its bytes otherwise."""
    for _ in range(random.choice((1, 1, 2, 4))):
        data = _mutated_once(random, data, form)
    return data[:MAX_BYTES]


def _mutated_once(random: Random, data: bytes, form: Form) -> bytes:
    if form is Form.PLAIN or random.random() < 0.35:
        return with_other_bytes(random, data)
    try:
        return _ALTERATIONS[form](random, data)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException):
        return with_other_bytes(random, data)


def with_other_bytes(random: Random, data: bytes) -> bytes:
    """`data` with a piece flipped, cut out, repeated, or put in."""
    at = random.randint(0, len(data))
    end = min(len(data), at + random.choice((1, 1, 2, 4, 16, len(data))))
    change: Callable[[], bytes] = random.choice(
        (
            lambda: (
                data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :] if at < len(data) else data
            ),
            lambda: data[:at] + data[end:],
            lambda: data[:end] + data[at:end] * random.choice((1, 2, 50)) + data[end:],
            lambda: data[:at] + random.choice(_TOKENS) + data[at:],
            lambda: data[:at] + random.choice(_TOKENS) + data[end:],
            lambda: data[:at] + random.randbytes(random.choice((1, 4, 40))) + data[end:],
            lambda: data[:at],
        )
    )
    return change()


def _with_other_json(random: Random, data: bytes) -> bytes:
    tree = with_other_value(random, json.loads(data))
    return json.dumps(tree, default=lambda value: value.hex()).encode("utf-8", "surrogatepass")


def _with_other_msgpack(random: Random, data: bytes) -> bytes:
    tree = with_other_value(random, msgpack.unpackb(data, strict_map_key=False))
    return bytes(msgpack.packb(tree, unicode_errors="surrogatepass"))


def _with_other_lines(random: Random, data: bytes) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    at = random.randrange(len(lines))
    changed = with_other_bytes(random, lines[at]) if random.random() < 0.5 else _with_other_json(random, lines[at])
    others = random.choice(((changed,), (changed, lines[at]), (), (random.choice(lines), changed)))
    return b"".join((*lines[:at], *others, *lines[at + 1 :]))


_ALTERATIONS: dict[Form, Callable[[Random, bytes], bytes]] = {
    Form.JSON: _with_other_json,
    Form.MSGPACK: _with_other_msgpack,
    Form.LINES: _with_other_lines,
}


def with_other_value(random: Random, tree: Any) -> Any:
    """`tree` with one node of lists and dictionaries replaced, taken away, doubled or moved."""
    if isinstance(tree, dict) and tree and random.random() < 0.9:
        return _with_other_entry(random, tree)
    if isinstance(tree, list) and tree and random.random() < 0.9:
        return _with_other_item(random, tree)
    return random.choice(ODD_VALUES)


def _with_other_entry(random: Random, tree: dict[Any, Any]) -> dict[Any, Any]:
    key, draw = random.choice(list(tree)), random.random()
    if draw < 0.1:
        return {name: value for name, value in tree.items() if name != key}
    if draw < 0.2:
        return {**tree, random.choice(("", "extra", "\x00", "a" * 300)): random.choice(ODD_VALUES)}
    if draw < 0.25:
        return {**tree, key: tree[random.choice(list(tree))]}
    return {**tree, key: with_other_value(random, tree[key])}


def _with_other_item(random: Random, tree: list[Any]) -> list[Any]:
    at, draw = random.randrange(len(tree)), random.random()
    if draw < 0.1:
        return [*tree[:at], *tree[at + 1 :]]
    if draw < 0.2:
        return [*tree[:at], *[tree[at]] * random.choice((2, 40)), *tree[at + 1 :]]
    if draw < 0.25:
        return random.sample(tree, len(tree))
    return [*tree[:at], with_other_value(random, tree[at]), *tree[at + 1 :]]
