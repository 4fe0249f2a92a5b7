"""The JPEG header: what a picture's size is, or why it is not usable.

Markers and fields are those of ITU-T T.81 (ISO/IEC 10918-1), annex B.
"""

from __future__ import annotations

import dataclasses
import re

MAX_PIXELS = 100_000_000

_SOI = b'\xff\xd8'
_EOI = b'\xff\xd9'
_SOS = 0xDA
_APP14 = 0xEE
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD8)])
# Start-of-frame markers: C4, C8 and CC of that range mean other things.
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE_OR_PROGRESSIVE = frozenset([0xC0, 0xC1, 0xC2, 0xC9, 0xCA])

_KINDS = (
  (b'\x89PNG', 'a PNG image'),
  (b'GIF8', 'a GIF image'),
  (b'BM', 'a BMP image'),
  (b'II*\0', 'a TIFF image'),
  (b'MM\0*', 'a TIFF image'),
  (b'\0\0\0\x0cjP', 'a JPEG 2000 image'),
  (b'\xff\x0a', 'a JPEG XL image'),
  (b'%PDF', 'a PDF document'),
  (b'\x1f\x8b', 'gzip-compressed'),
  (b'PK\x03\x04', 'a zip archive'),
  (b'version https://git-lfs', 'a Git LFS pointer (run: git lfs pull)'),
)
_HTML = re.compile(rb'\s*<(!doctype|html|\?xml|svg|head)', re.IGNORECASE)


class JpegError(ValueError):
  """The bytes are not a usable JPEG image; the message says what they are."""


@dataclasses.dataclass(frozen=True, slots=True)
class JpegShape:
  """A picture's shape, as its JPEG header gives it.

  Attributes:
    height: In pixels, 1 or more.
    width: In pixels, 1 or more.
    chans: Colour components: 1 (gray), 3 (colour) or 4 (CMYK).
  """

  height: int
  width: int
  chans: int


def read_shape(data: bytes, *, max_pixels: int = MAX_PIXELS) -> JpegShape:
  """Reads the shape of a whole JPEG file.

  Args:
    data: The file's bytes; bytes behind the end of the image are fine.
    max_pixels: Most pixels that the header may promise.

  Returns:
    Height, width and channels of the image (not of a thumbnail in it).

  Raises:
    JpegError: if it is no JPEG, is cut, or is of a kind that TensorFlow does
      not decode.
  """
  if not data.startswith(_SOI):
    raise JpegError(f'not a JPEG but {_kind_of(data)}')
  shape = None
  adobe = False
  position, size = 2, len(data)
  while True:
    if data[position : position + 1] != b'\xff':
      raise JpegError(_broken(position, size))
    while position < size and data[position] == 0xFF:  # Fill bytes.
      position += 1
    if position + 2 >= size:
      raise JpegError(_broken(position, size))
    marker = data[position]
    position += 1
    if marker in _STANDALONE:
      continue
    length = data[position] << 8 | data[position + 1]
    if marker == 0xD9 or length < 2 or position + length > size:
      raise JpegError(_broken(position, size))
    if marker in _SOF:
      if shape is not None:
        raise JpegError('a JPEG with two image headers')
      shape = _frame(marker, data[position : position + length], max_pixels)
    elif marker == _APP14 and data.startswith(b'Adobe', position + 2):
      adobe = True
    position += length
    if marker == _SOS:
      break
  if shape is None:
    raise JpegError('a JPEG without an image header')
  if shape.chans == 4 and not adobe:
    raise JpegError(
      "a CMYK JPEG without Adobe's marker (TensorFlow would decode it to black)"
    )
  # The end stands at the end, or bytes follow it. Before it, coded data cannot
  # hold it, so looking from behind finds it at once.
  if not data.endswith(_EOI) and data.rfind(_EOI, position) < 0:
    raise JpegError('a JPEG that is cut: its end-of-image marker is missing')
  return shape


def _frame(marker: int, segment: bytes, max_pixels: int) -> JpegShape:
  """Reads a start-of-frame segment: length, precision, size, components."""
  if len(segment) < 8:
    raise JpegError('a JPEG with a broken image header')
  precision, chans = segment[2], segment[7]
  height = segment[3] << 8 | segment[4]
  width = segment[5] << 8 | segment[6]
  if marker not in _BASELINE_OR_PROGRESSIVE:
    raise JpegError('a lossless or hierarchical JPEG, which is not supported')
  if precision != 8:
    raise JpegError(f'a JPEG with {precision} bits a sample, expected 8')
  if chans not in (1, 3, 4):
    raise JpegError(f'a JPEG with {chans} components, expected 1, 3 or 4')
  if len(segment) != 8 + 3 * chans:
    raise JpegError('a JPEG with a broken image header')
  if not height or not width:
    raise JpegError(f'a JPEG of {height}×{width} pixels')
  if height * width > max_pixels:
    raise JpegError(
      f'a JPEG that promises {height}×{width} pixels, more than the limit of '
      f'{max_pixels:,} (max_pixels in the config raises it)'
    )
  return JpegShape(height, width, chans)


def _broken(position: int, size: int) -> str:
  return (
    f'a JPEG whose header is cut or broken at byte {position:,} of {size:,}'
  )


def _kind_of(data: bytes) -> str:
  """Says in words what the bytes are that should have been a JPEG."""
  if not data:
    return 'an empty file'
  for magic, kind in _KINDS:
    if data.startswith(magic):
      return kind
  if data.startswith(b'RIFF') and data[8:12] == b'WEBP':
    return 'a WebP image'
  if data[4:12] in (b'ftypavif', b'ftypheic', b'ftypmif1'):
    return 'an AVIF or HEIC image'
  if _HTML.match(data[:256]):
    return 'an HTML or XML page'
  if not data.strip(b'\0'):
    return 'zero bytes only'
  return 'something else'
