"""Public keys that nobody has the private half of sign nothing, whatever a signature of zeros comes to."""

from __future__ import annotations

import pytest

from phasemesh.controller.access.signing import is_signed_by_any

ORDER_EIGHT = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"
OTHER_OF_ORDER_EIGHT = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
FIELD = 2**255 - 19
WEAK = [
    *(value.to_bytes(32, "little") for value in (0, 1, FIELD - 1, FIELD, FIELD + 1)),
    bytes.fromhex(ORDER_EIGHT),
    bytes.fromhex(OTHER_OF_ORDER_EIGHT),
]
"""The points of order 1, 2, 4 and 8, in every way of writing them."""


@pytest.mark.parametrize("has_sign", [False, True])
@pytest.mark.parametrize("key", WEAK, ids=lambda key: key.hex()[:8])
def test_no_content_is_signed_by_a_point_of_small_order(key: bytes, has_sign: bool) -> None:
    """A signature of the neutral point, or of the key itself, and the number 0 fits one content in eight or more."""
    key = key[:31] + bytes([key[31] | 0x80]) if has_sign else key
    neutral = (1).to_bytes(32, "little")
    forged = [bytes(64), neutral + bytes(32), key + bytes(32)]

    assert not any(is_signed_by_any([key], signature, bytes([n])) for signature in forged for n in range(100))
