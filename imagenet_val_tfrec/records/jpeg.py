"""The JPEG header: what a picture's size is, or why it is not usable.

Markers and fields are those of ITU-T T.81 (ISO/IEC 10918-1), annex B. What
that leaves open is read as libjpeg-turbo reads it (`jdmarker.c`), by which
TensorFlow decodes: stray bytes between two segments are passed over, and a
segment whose length is too small to count itself is empty.
"""

from __future__ import annotations

import dataclasses
import re
import struct

from imagenet_val_tfrec.core import magic

MAX_PIXELS = 100_000_000

_START = b'\xff\xd8\xff'
_END = b'\xff\xd9'
_SEGMENT = struct.Struct('>BBH')  # 0xFF, marker, length.
_FRAME = struct.Struct('>BHHB')  # Precision, height, width, components.
_ADOBE_SIZE = 14
_MAX_SIDE = 65_500  # JPEG_MAX_DIMENSION of libjpeg.

_MARKER = re.compile(rb'\xff[\x01-\xfe]')
# Stuffed and fill bytes; TEM and RST, which have no segment.
_PASSED_OVER = frozenset([0x00, 0xFF, 0x01, *range(0xD0, 0xD8)])
_DHT, _SOS, _DQT, _DRI, _APP14 = 0xC4, 0xDA, 0xDB, 0xDD, 0xEE
# APP, COM and DNL, whose contents are passed over.
_COMMENTS = frozenset([*range(0xE0, 0xF0), 0xFE, 0xDC])
# Start of frame: C4, C8 and CC of that range mean other things.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# What is looked into, beside the frame and the scan.
_TABLES = frozenset([_DHT, _DQT, _DRI])
_SEGMENTS = _COMMENTS | _FRAMES | _TABLES | {_SOS, 0xCC}  # And DAC.
# Baseline, extended and progressive; the latter two arithmetic too.
_DECODED = frozenset([0xC0, 0xC1, 0xC2, 0xC9, 0xCA])
_SAMPLINGS = frozenset(16 * h + v for h in range(1, 5) for v in range(1, 5))

# What simplejpeg says of colour that is not sampled as 4:4:4, 4:2:0 and so on,
# and of broken headers. TensorFlow, which knows all, is imported for these few.
# https://github.com/libjpeg-turbo/libjpeg-turbo/issues/236
_UNKNOWN_SAMPLING = 'Could not determine subsampling'

_COEFFICIENT, _PIXEL = 2, 2.5  # Bytes.
# SOS, and the frames of progressive images; none stands in coded data.
_SCANS = ((b'\xff\xda', 1), (b'\xff\xc2', 0), (b'\xff\xca', 0))


class FormatError(ValueError):
  """The bytes are not a usable image; the message says what they are."""


class JpegError(FormatError):
  """The bytes are not a usable JPEG image."""


@dataclasses.dataclass(frozen=True, slots=True)
class Shape:
  """Sides of 1 pixel or more; 1 to 4 channels as stored, 4 in CMYK."""

  height: int
  width: int
  chans: int

  def __str__(self) -> str:
    return f'{self.height}, {self.width} and {self.chans}'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checks:
  """What is refused in an image."""

  max_pixels: int = MAX_PIXELS  # That its header may promise.
  decode: bool = False  # To refuse what is damaged inside.
  formats: tuple[str, ...] = ('jpeg',)  # Of `images.FORMATS`; no others.


def read_shape(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Shape:
  """Reads the shape of a whole JPEG file (not of a thumbnail in it).

  Bytes behind the end of the image are fine.

  Raises:
    JpegError: if it is no JPEG, is cut, has a broken header, or is of a kind
      that TensorFlow does not decode.
  """
  if not data.startswith(_START):
    raise JpegError(f'not a JPEG but {magic.describe(data)}')
  shape = None
  adobe = False
  position, size = 2, len(data)
  while True:
    if position + 4 > size:
      raise JpegError(_broken('is cut', position, size))
    first, marker, length = _SEGMENT.unpack_from(data, position)
    if first != 0xFF or marker not in _SEGMENTS:
      if first == 0xFF and marker not in _PASSED_OVER:
        raise JpegError(_broken(f'has a stray FF {marker:02X}', position, size))
      found = _MARKER.search(data, position + 1)
      position = found.start() if found else size
      continue
    if length < 2 and marker in _COMMENTS:
      length = 2
    start, end = position + 4, position + 2 + length
    if end > size:
      raise JpegError(_broken('is cut', position, size))
    if length < 2:
      raise JpegError(_broken('has an impossible length', position, size))
    if marker in _TABLES:
      if not _is_whole(marker, data, start, end):
        raise JpegError(_broken('has a broken table', position, size))
    elif marker in _FRAMES:
      if shape is not None:
        raise JpegError('a JPEG with two image headers')
      frame = data[start:end]
      shape = _read_frame(marker, frame, max_pixels)
    elif marker == _APP14 and length >= _ADOBE_SIZE:
      adobe = adobe or data.startswith(b'Adobe', start)
    elif marker == _SOS:
      break
    position = end
  if shape is None:
    raise JpegError('a JPEG without an image header')
  if not _names(data[start:end], frame[_FRAME.size :: 3]):
    raise JpegError(_broken('has a broken start of scan', position, size))
  if shape.chans == 4 and not adobe:
    raise JpegError(
      "a CMYK JPEG without Adobe's marker (TensorFlow would decode it to black)"
    )
  # The marker is at the end, or other bytes follow it. Coded data cannot
  # contain it, so a search from the end finds it at once.
  if not data.endswith(_END) and data.rfind(_END, end) < 0:
    raise JpegError('a JPEG that is cut: its end-of-image marker is missing')
  return shape


def check_decodes(
  image: bytes, shape: Shape, max_pixels: int = MAX_PIXELS
) -> None:
  """Decodes an image, to see that it can be done without a warning.

  Images with several scans (progressive ones) are kept in memory as
  coefficients. These may take as much memory as `max_pixels`.

  Raises:
    JpegError: if libjpeg does not decode it or warns of it, or if it would take
      too much memory. (If simplejpeg does not know how the colour is sampled,
      TensorFlow decodes, and what libjpeg only warns of is not found.)
  """
  if shape.height * shape.width > max_pixels:
    raise JpegError(
      f'a JPEG of {shape.height}×{shape.width} pixels is not decoded, as the '
      f'limit is {max_pixels:,} (max_pixels raises it)'
    )
  needed = _COEFFICIENT * shape.height * shape.width * shape.chans
  # A thumbnail in it may count as one more.
  has_several_scans = any(image.count(part) > most for part, most in _SCANS)
  if needed > _PIXEL * max_pixels and has_several_scans:
    raise JpegError(
      f'a JPEG of several scans and {shape.height}×{shape.width} pixels, which '
      f'takes {needed / 1e6:,.0f} MB to decode, more than the limit of '
      f'{_PIXEL * max_pixels / 1e6:,.0f} (max_pixels raises it)'
    )
  import simplejpeg

  try:
    # The picture is not needed, so it is made as small and gray as can be. All
    # coded data is read even so, which is where damage shows.
    simplejpeg.decode_jpeg(
      image, 'GRAY', min_height=1, min_width=1, strict=True
    )
  except ValueError as e:
    if _UNKNOWN_SAMPLING not in str(e):
      raise JpegError(f'a JPEG that does not decode cleanly: {e}') from e
    import tensorflow as tf

    try:
      tf.io.decode_jpeg(image, ratio=8)
    except tf.errors.InvalidArgumentError as refused:
      raise JpegError('a JPEG that TensorFlow does not decode') from refused


def _read_frame(marker: int, segment: bytes, max_pixels: int) -> Shape:
  """Reads a start-of-frame segment, from behind its length."""
  if marker not in _DECODED:
    raise JpegError('a lossless or hierarchical JPEG, which is not supported')
  if len(segment) < _FRAME.size:
    raise JpegError('a JPEG with a broken image header')
  precision, height, width, chans = _FRAME.unpack_from(segment)
  if precision != 8:
    raise JpegError(f'a JPEG with {precision} bits a sample, expected 8')
  if chans not in (1, 3, 4):
    raise JpegError(f'a JPEG with {chans} components, expected 1, 3 or 4')
  # Of each component: identifier, sampling factors, quantisation table.
  samplings = segment[_FRAME.size + 1 :: 3]
  if len(segment) != _FRAME.size + 3 * chans or not _SAMPLINGS.issuperset(
    samplings
  ):
    raise JpegError('a JPEG with a broken image header')
  if not 1 <= height <= _MAX_SIDE or not 1 <= width <= _MAX_SIDE:
    raise JpegError(
      f'a JPEG of {height}×{width} pixels, expected sides of 1 to {_MAX_SIDE:,}'
    )
  if height * width > max_pixels:
    raise JpegError(
      f'a JPEG that promises {height}×{width} pixels, more than the limit of '
      f'{max_pixels:,} (max_pixels in the config raises it)'
    )
  return Shape(height, width, chans)


def _is_whole(marker: int, data: bytes, start: int, end: int) -> bool:
  """Whether DHT or DQT hold whole tables, numbered 0 to 3, and DRI a number."""
  if marker == _DHT:
    while start < end and data[start] & 0xEF < 4:
      start += 17 + sum(data[start + 1 : start + 17])
  elif marker == _DQT:
    while start < end and data[start] & 0x0F < 4:
      start += 65 if data[start] < 16 else 129
  else:
    start += 2
  return start == end


def _names(scan: bytes, components: bytes) -> bool:
  """Whether a start-of-scan segment names components of the frame."""
  names = scan[1:-3:2]
  count = len(names)
  if not names or scan[0] != count or len(scan) != 4 + 2 * count:
    return False
  return names == components or all(
    names.count(name) <= components.count(name) for name in names
  )


def _broken(what: str, position: int, size: int) -> str:
  return f'a JPEG whose header {what} at byte {position:,} of {size:,}'
