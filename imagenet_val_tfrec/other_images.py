"""PNG, GIF and BMP images, which older files may hold besides JPEGs.

Sources: PNG, 3rd edition (W3C, 2025), clauses 5.2 and 11.2.2; GIF89a (1990),
clauses 17 to 27; BMP, `BITMAPINFOHEADER` of the Windows API.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

_PNG, _PNG_SIZE = b'\x89PNG\r\n\x1a\n', struct.Struct('>16xII')
_BMP, _BMP_SIZE = b'BM', struct.Struct('<18xii')
_GIFS = (b'GIF87a', b'GIF89a')
_GIF_HEADER = 13
_GIF_FRAME, _GIF_FRAME_SIZE = 0x2C, struct.Struct('<5xHH')
_GIF_EXTENSION = 0x21


class OtherImageError(ValueError):
  """A PNG, GIF or BMP that is damaged."""


def is_other(image: bytes) -> bool:
  """Whether it begins as a PNG, GIF or BMP."""
  return image.startswith((_PNG, _BMP, *_GIFS))


def read_size(image: bytes) -> tuple[int, int]:
  """Returns height and width as TensorFlow decodes it: of a GIF, one frame's.

  Raises:
    OtherImageError: if the header is cut.
  """
  try:
    if image.startswith(_GIFS):
      return next(_gif_frames(image))
    layout = _PNG_SIZE if image.startswith(_PNG) else _BMP_SIZE
    width, height = layout.unpack_from(image)
    return abs(height), abs(width)  # A BMP may be stored top down.
  except (struct.error, IndexError, StopIteration) as e:
    raise OtherImageError('an image whose header is cut') from e


def check_decodes(image: bytes, max_pixels: int) -> None:
  """Decodes an image by TensorFlow, as `legacy.parser` does.

  Args:
    image: What begins as a PNG, GIF or BMP.
    max_pixels: Most that are decoded.

  Raises:
    OtherImageError: if it does not decode, or is too large to try.
  """
  import tensorflow as tf

  pixels = 0
  try:
    # All frames of a GIF are decoded to get the first one.
    sizes = (
      _gif_frames(image) if image.startswith(_GIFS) else [read_size(image)]
    )
    for height, width in sizes:
      pixels += height * width
      if pixels > max_pixels:
        raise OtherImageError(
          f'an image of {pixels:,} pixels or more is not decoded, as the limit '
          f'is {max_pixels:,} (--max_pixels raises it)'
        )
    tf.io.decode_image(image, channels=3, expand_animations=False)
  except (struct.error, IndexError) as e:
    raise OtherImageError('an image that is cut') from e
  except tf.errors.InvalidArgumentError as e:
    raise OtherImageError('an image that TensorFlow does not decode') from e


def _gif_frames(image: bytes) -> Iterator[tuple[int, int]]:
  """Yields height and width of each frame.

  Raises:
    IndexError: if it is cut (or struct.error).
  """
  position = _GIF_HEADER + _gif_colours(image[10])
  while (kind := image[position]) in (_GIF_FRAME, _GIF_EXTENSION):
    if kind == _GIF_FRAME:
      width, height = _GIF_FRAME_SIZE.unpack_from(image, position)
      yield height, width
      position += 11 + _gif_colours(image[position + 9])
    else:
      position += 2
    while size := image[position]:  # Blocks of data, up to an empty one.
      position += 1 + size
    position += 1


def _gif_colours(flags: int) -> int:
  """Returns the bytes of the table of colours that the flags tell of."""
  return 3 << (flags & 7) + 1 if flags & 0x80 else 0
