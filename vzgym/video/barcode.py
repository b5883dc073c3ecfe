"""Bar codes that encode a frame's number, to verify which frame a decoder returned.

A bar code is a grid of black and white blocks: an 18-bit number and a 6-bit checksum. It survives lossy compression and
downscaling and can be read in one orientation only. A frame without a valid bar code reads as None.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vzgym.core.errors import InvalidSetting

__all__ = ["LARGEST", "draw_barcode", "read_barcode"]

_ROWS, _COLUMNS = 4, 6
_DATA_BITS = 18
LARGEST = (1 << _DATA_BITS) - 1
"""The largest number that fits."""


def _checksum(number: int) -> int:
    # Knuth's multiplicative hash: neighboring numbers get different checksums.
    return (((number + 1) * 2654435761) >> 13) & 0x3F


def draw_barcode(number: int, height: int, width: int) -> NDArray[np.uint8]:
    """Draw a bar code that fills the frame.

    Args:
        number: In `[0, LARGEST]`.
        height: Rows, >= 4.
        width: Columns, >= 6.

    Returns:
        uint8, shape `(height, width, 3)`.

    Raises:
        InvalidSetting: If the number or the size is out of range.
    """
    if not 0 <= number <= LARGEST or height < _ROWS or width < _COLUMNS:
        raise InvalidSetting(
            f"a bar code needs a number in [0, {LARGEST}] and at least {_ROWS}x{_COLUMNS} pixels, "
            f"got {number} and {height}x{width}"
        )
    word = number << 6 | _checksum(number)
    bits = np.array([word >> place & 1 for place in range(_ROWS * _COLUMNS)], dtype=bool).reshape(_ROWS, _COLUMNS)
    rows = np.arange(height) * _ROWS // height
    columns = np.arange(width) * _COLUMNS // width
    grey = np.where(bits[rows][:, columns], 235, 20).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def read_barcode(pixels: NDArray[np.uint8]) -> int | None:
    """Read the number encoded in a frame.

    Args:
        pixels: uint8, shape `(height, width, 3)`.

    Returns:
        The number; None if the checksum does not fit, or a block is neither dark nor light.
    """
    height, width = pixels.shape[:2]
    grey = pixels.mean(axis=2)
    blocks = np.empty((_ROWS, _COLUMNS))
    for row in range(_ROWS):
        for column in range(_COLUMNS):
            # Only the middle half of a block: compression blurs its edges.
            top, bottom = (row + 0.25) * height / _ROWS, (row + 0.75) * height / _ROWS
            left, right = (column + 0.25) * width / _COLUMNS, (column + 0.75) * width / _COLUMNS
            block = grey[int(top) : max(int(top) + 1, int(bottom)), int(left) : max(int(left) + 1, int(right))]
            blocks[row, column] = block.mean()
    if (np.abs(blocks - 127) < 40).any():
        return None
    word = int(sum(int(bit) << place for place, bit in enumerate((blocks > 127).reshape(-1))))
    number = word >> 6
    return number if word & 0x3F == _checksum(number) else None
