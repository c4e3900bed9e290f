"""SQLite's write-ahead log, as far as it tells a commit that was never finished from one that was damaged.

A process that is killed while it commits leaves frames without a commit mark. SQLite passes over them, and so must we:
they are rows that were never committed. Frames that do not check out are damage. Source: SQLite file format, section 4.
"""

from __future__ import annotations

import struct

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = {0x377F0682: "<", 0x377F0683: ">"}
"""How a log begins, and the byte order of the words that its checksums are made from."""
_LEAST_PAGE, _MOST_PAGE = 512, 65536

Checksum = tuple[int, int]


def is_whole_log(data: bytes) -> bool:
    """Whether every complete frame of the log `data` checks out, so that SQLite sees all that was committed there.

    What is too short for a frame, or for the head of a log, holds nothing.
    """
    if len(data) < _HEADER.size:
        return True
    magic, _, page_bytes, _, *salts, first, second = _HEADER.unpack_from(data)
    if magic not in _MAGIC or not _LEAST_PAGE <= page_bytes <= _MOST_PAGE:
        return False
    order, checksum = _MAGIC[magic], (first, second)
    if _continued((0, 0), data[: _HEADER.size - 8], order) != checksum:
        return False
    step = _FRAME.size + page_bytes
    for start in range(_HEADER.size, len(data) - step + 1, step):
        _, _, *frame_salts, first, second = _FRAME.unpack_from(data, start)
        summed = data[start : start + 8] + data[start + _FRAME.size : start + step]
        checksum = _continued(checksum, summed, order)
        if frame_salts != salts or checksum != (first, second):
            return False
    return True


def _continued(checksum: Checksum, data: bytes, order: str) -> Checksum:
    """The `checksum` of what came before, taken on over `data`."""
    first, second = checksum
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
