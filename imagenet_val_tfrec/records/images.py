"""The shape of an image in its header, whatever its format; JPEG's in `jpeg`.

Chunks and blocks are those of the PNG specification, third edition
(https://www.w3.org/TR/png-3/), of GIF89a (https://www.w3.org/Graphics/GIF/) and
of https://developers.google.com/speed/webp/docs/riff_container. What TensorFlow
does not decode to one picture of three channels is refused.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Callable

from imagenet_val_tfrec.core import magic
from imagenet_val_tfrec.records import jpeg

# What the config calls a format, and what messages do.
FORMATS = {'jpeg': 'JPEG', 'png': 'PNG', 'webp': 'WebP', 'gif': 'GIF'}
ALL = jpeg.Checks(max_pixels=sys.maxsize, formats=tuple(FORMATS))

_JPEG = b'\xff\xd8\xff'
_SIGNATURE = b'\x89PNG\r\n\x1a\n'
_MOST_SIDES = {'PNG': 1_000_000, 'GIF': 65_535, 'WebP': 16_384}

_CHUNK, _CRC = struct.Struct('>I4s'), struct.Struct('>I')
_HEADER = struct.Struct('>IIBBBBB')
_CRITICAL = frozenset([b'IHDR', b'PLTE', b'IDAT', b'IEND'])
# By the colour type: channels, and bits of a sample. A palette is of colours.
_COLOURS = {
  0: (1, {1, 2, 4, 8, 16}),
  2: (3, {8, 16}),
  3: (3, {1, 2, 4, 8}),
  4: (2, {8, 16}),
  6: (4, {8, 16}),
}
_PALETTE = 3

_SCREEN, _FRAME = struct.Struct('<HHB'), struct.Struct('<HHHHB')
_EXTENSION, _PICTURE, _TRAILER = 0x21, 0x2C, 0x3B

_RIFF, _SIDES = struct.Struct('<4sI'), struct.Struct('<HH')
_ANIMATION, _ALPHA = 0x02, 0x10


def read_shape(data: bytes, checks: jpeg.Checks) -> jpeg.Shape:
  """Reads the shape of a whole file of one of the formats in `checks`.

  Raises FormatError if it is of none of them, is cut, has a broken header, or
  is of a kind that TensorFlow does not decode to one picture.
  """
  if data.startswith(_JPEG) and 'jpeg' in checks.formats:
    return jpeg.read_shape(data, max_pixels=checks.max_pixels)
  kind = magic.kind_of(data)
  for name in checks.formats:
    word = FORMATS[name]
    if kind and kind.words == f'a {word} image':
      try:
        return _checked(word, *_READERS[word](data), checks.max_pixels)
      except (struct.error, IndexError) as e:
        raise jpeg.FormatError(f'a {word} that is cut') from e
  *others, last = map(FORMATS.__getitem__, checks.formats)
  expected = f'{", ".join(others)} or {last}' if others else last
  raise jpeg.FormatError(f'not a {expected} but {magic.describe(data)}')


def format_of(image: bytes) -> str:
  """Returns the word for the format of a file that has a shape: 'JPEG'."""
  kind = magic.kind_of(image)
  return kind.words.split()[1] if kind else ''


def check_decodes(image: bytes, shape: jpeg.Shape, max_pixels: int) -> None:
  """Decodes an image: JPEGs as `jpeg` does, others by TensorFlow.

  Raises FormatError if it cannot be done, or takes too much memory.
  """
  if image.startswith(_JPEG):
    jpeg.check_decodes(image, shape, max_pixels)
    return
  if shape.height * shape.width > max_pixels:
    raise jpeg.FormatError(
      f'an image of {shape.height}×{shape.width} pixels is not decoded, as the '
      f'limit is {max_pixels:,} (max_pixels raises it)'
    )
  import tensorflow as tf

  try:
    decoded = tf.io.decode_image(image, 3, expand_animations=False)
  except tf.errors.OpError as e:
    raise jpeg.FormatError('an image that TensorFlow does not decode') from e
  if decoded.shape != (shape.height, shape.width, 3):
    raise jpeg.FormatError(f'an image that TensorFlow makes {decoded.shape}')


def _checked(
  word: str, height: int, width: int, chans: int, max_pixels: int
) -> jpeg.Shape:
  most = _MOST_SIDES[word]
  if not 1 <= height <= most or not 1 <= width <= most:
    raise jpeg.FormatError(
      f'a {word} of {height}×{width} pixels, expected sides of 1 to {most:,}'
    )
  if height * width > max_pixels:
    raise jpeg.FormatError(
      f'a {word} that promises {height}×{width} pixels, more than the limit of '
      f'{max_pixels:,} (max_pixels in the config raises it)'
    )
  return jpeg.Shape(height, width, chans)


def _read_png(data: bytes) -> tuple[int, int, int]:
  """Returns height, width and channels; looks at all chunks and their CRCs."""
  if not data.startswith(_SIGNATURE):
    raise jpeg.FormatError(
      'a PNG with a broken signature: was it sent as text?'
    )
  position, kind, seen = len(_SIGNATURE), b'', set[bytes]()
  whole = memoryview(data)
  while kind != b'IEND':
    length, kind = _CHUNK.unpack_from(data, position)
    end = position + _CHUNK.size + length
    (crc,) = _CRC.unpack_from(data, end)
    where = f'at byte {position:,} of {len(data):,}'
    if zlib.crc32(whole[position + 4 : end]) != crc:
      raise jpeg.FormatError(f'a PNG with a wrong checksum of a chunk {where}')
    known = kind in _CRITICAL or kind[0] & 0x20
    if (kind == b'IHDR') == bool(seen) or not known:
      raise jpeg.FormatError(f'a PNG with an unexpected chunk {where}')
    if kind == b'IHDR':
      if length != _HEADER.size:
        raise jpeg.FormatError('a PNG with a broken image header')
      width, height, depth, colour, *methods = _HEADER.unpack_from(data, 16)
      chans, depths = _COLOURS.get(colour, (0, ()))
      if depth not in depths or methods not in ([0, 0, 0], [0, 0, 1]):
        raise jpeg.FormatError('a PNG with a broken image header')
    elif kind == b'PLTE' and (length % 3 or not 3 <= length <= 768):
      raise jpeg.FormatError(f'a PNG with a broken palette {where}')
    elif kind == b'IDAT' and colour == _PALETTE and b'PLTE' not in seen:
      raise jpeg.FormatError('a PNG without its palette')
    seen.add(kind)
    position = end + _CRC.size
  if b'IDAT' not in seen:
    raise jpeg.FormatError('a PNG without image data')
  return height, width, chans


def _read_gif(data: bytes) -> tuple[int, int, int]:
  """Returns height, width and 3 of the one picture that fills the screen."""
  width, height, flags = _SCREEN.unpack_from(data, 6)
  position = 13 + _table_size(flags)
  pictures = []
  while (kind := data[position]) != _TRAILER:
    if kind == _PICTURE:
      *window, more = _FRAME.unpack_from(data, position + 1)
      pictures.append(window)
      flags |= more
      position += 11 + _table_size(more)
    elif kind == _EXTENSION:
      position += 2
    else:
      raise jpeg.FormatError(
        f'a GIF that is damaged at byte {position:,} of {len(data):,}'
      )
    while block := data[position]:
      position += 1 + block
    position += 1
  if len(pictures) != 1:
    # Readers differ: one takes the first, another one makes four axes.
    raise jpeg.FormatError(f'a GIF of {len(pictures):,} pictures, expected one')
  if pictures != [[0, 0, width, height]]:
    # To TensorFlow it is as large as the picture, to others as the screen.
    raise jpeg.FormatError('a GIF whose picture does not fill its screen')
  if not flags & 0x80:
    raise jpeg.FormatError('a GIF without a table of colours')
  return height, width, 3


def _table_size(flags: int) -> int:
  return 6 << (flags & 7) if flags & 0x80 else 0


def _read_webp(data: bytes) -> tuple[int, int, int]:
  """Returns height, width and 3, from the first chunk that is a picture."""
  _, size = _RIFF.unpack_from(data)
  if size + 8 > len(data):
    raise jpeg.FormatError('a WebP that is cut')
  data = data[: size + 8]
  position, flags, canvas = 12, 0, None
  while True:
    kind, length = _RIFF.unpack_from(data, position)
    start = position + _RIFF.size
    position = start + length + length % 2
    if start + length > len(data):
      raise jpeg.FormatError('a WebP that is cut')
    if kind == b'VP8X':
      flags |= data[start]
      canvas = tuple(
        1 + int.from_bytes(data[start + i : start + i + 3], 'little')
        for i in (4, 7)
      )
    flags |= {b'ALPH': _ALPHA, b'ANIM': _ANIMATION}.get(kind, 0)
    if flags & _ANIMATION:
      raise jpeg.FormatError('a WebP that is an animation, expected a picture')
    if kind in (b'VP8 ', b'VP8L'):
      break
  if kind == b'VP8L':
    bits = int.from_bytes(data[start + 1 : start + 5], 'little')
    is_sound = length >= 5 and data[start] == 0x2F and bits >> 29 == 0
    sides = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    flags |= _ALPHA * (bits >> 28 & 1)
  else:
    # Of a key frame; above each side stands how others may enlarge it.
    is_sound = not data[start] & 1 and data[start + 3 : start + 6] == b'\x9d\1*'
    width, height = _SIDES.unpack_from(data, start + 6)
    sides = width & 0x3FFF, height & 0x3FFF
  if not is_sound or canvas not in (None, sides):
    raise jpeg.FormatError('a WebP with a broken image header')
  if flags & _ALPHA:
    raise jpeg.FormatError(
      'a WebP with transparency, which TensorFlow does not decode to RGB'
    )
  return sides[1], sides[0], 3


_READERS: dict[str, Callable[[bytes], tuple[int, int, int]]] = {
  'PNG': _read_png,
  'WebP': _read_webp,
  'GIF': _read_gif,
}
