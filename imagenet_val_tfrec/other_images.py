"""PNG, GIF and BMP images, which older files may hold besides JPEGs.

Sources: PNG, 3rd edition (W3C, 2025), clauses 5.2 and 11.2.2; GIF89a (1990),
clauses 17 and 18; BMP, `BITMAPINFOHEADER` of the Windows API.
"""

from __future__ import annotations

import struct

from imagenet_val_tfrec import jpeg

# How a file begins, and where its width and height stand.
_HEADERS = (
  (b'\x89PNG\r\n\x1a\n', struct.Struct('>16xII')),
  (b'GIF87a', struct.Struct('<6xHH')),
  (b'GIF89a', struct.Struct('<6xHH')),
  (b'BM', struct.Struct('<18xii')),
)


class OtherImageError(ValueError):
  """A PNG, GIF or BMP that is damaged."""


def is_other(image: bytes) -> bool:
  """Whether it begins as a PNG, GIF or BMP."""
  return image.startswith(tuple(magic for magic, _ in _HEADERS))


def read_size(image: bytes) -> tuple[int, int]:
  """Returns height and width, as the header gives them.

  Raises:
    OtherImageError: if the header is cut.
  """
  layout = next(layout for magic, layout in _HEADERS if image.startswith(magic))
  if len(image) < layout.size:
    raise OtherImageError('an image whose header is cut')
  width, height = layout.unpack_from(image)
  return abs(height), abs(width)  # A BMP may be stored top down.


def check_decodes(image: bytes) -> None:
  """Decodes an image by TensorFlow, as `legacy.parser` does.

  Raises:
    OtherImageError: if it does not decode, or is too large to try.
  """
  import tensorflow as tf

  height, width = read_size(image)
  if height * width > jpeg.MAX_PIXELS:
    raise OtherImageError(
      f'an image of {height}×{width} pixels, expected at most '
      f'{jpeg.MAX_PIXELS:,}'
    )
  try:
    tf.io.decode_image(image, channels=3, expand_animations=False)
  except tf.errors.InvalidArgumentError as e:
    raise OtherImageError('an image that TensorFlow does not decode') from e
