"""PNG, WebP and GIF: every kind that is read, and all that is refused."""

import functools
import io
import struct
import zlib

import making
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from imagenet_val_tfrec.records import images, jpeg

CHECKS = jpeg.Checks(formats=tuple(images.FORMATS))
PIXELS = np.kron(
  np.arange(10, 250, 10).reshape(2, 3, 4), np.ones((6, 5, 1))
).astype(np.uint8)
RGB, GRAY = PIXELS[..., :3], np.ascontiguousarray(PIXELS[..., 0])


def encode(pixels, kind: str, **options) -> bytes:
  """Returns pixels as a file; `more` of them follow, for an animation."""
  out = io.BytesIO()
  more = [Image.fromarray(each) for each in options.pop('more', [])]
  if more:
    options.update(save_all=True, append_images=more)
  image = pixels if isinstance(pixels, Image.Image) else None
  (image or Image.fromarray(pixels)).save(out, kind, **options)
  return out.getvalue()


PALETTE = Image.fromarray(RGB).quantize(6)
FILES = {
  'PNG, RGB': (encode(RGB, 'PNG'), 3),
  'PNG, RGBA': (encode(PIXELS, 'PNG'), 4),
  'PNG, gray': (encode(GRAY, 'PNG'), 1),
  'PNG, gray and alpha': (
    encode(np.ascontiguousarray(PIXELS[..., :2]), 'PNG'),
    2,
  ),
  'PNG, a palette': (encode(PALETTE, 'PNG'), 3),
  'PNG, a palette with alpha': (encode(PALETTE, 'PNG', transparency=0), 3),
  'PNG, 1 bit': (encode(GRAY > 99, 'PNG'), 1),
  'PNG, 16 bits': (encode(GRAY.astype(np.uint16) * 257, 'PNG'), 1),
  'PNG, bytes behind the end': (encode(RGB, 'PNG') + b'more', 3),
  'WebP': (encode(RGB, 'WEBP'), 3),
  'WebP, lossless': (encode(RGB, 'WEBP', lossless=True), 3),
  'WebP, extended': (encode(RGB, 'WEBP', icc_profile=b'odd'), 3),
  'WebP, bytes behind the end': (encode(RGB, 'WEBP') + b'more', 3),
  'GIF': (encode(PALETTE, 'GIF'), 3),
  'GIF, a comment': (encode(PALETTE, 'GIF', comment=b'x' * 300), 3),
  'GIF, interlaced': (encode(GRAY, 'GIF', interlace=1), 3),
  'JPEG': (making.picture('gray'), 1),
}


@pytest.mark.parametrize('name', FILES)
def test_shapes(name):
  """And TensorFlow decodes them to it, and Pillow sees the same size."""
  data, chans = FILES[name]
  shape = images.read_shape(data, CHECKS)
  assert shape.chans == chans
  assert Image.open(io.BytesIO(data)).size == (shape.width, shape.height)
  images.check_decodes(data, shape, jpeg.MAX_PIXELS)
  if 'palette' not in name and 'GIF' not in name and '16' not in name:
    decoded = tf.io.decode_image(data, expand_animations=False)
    assert decoded.shape == (shape.height, shape.width, chans)


@pytest.mark.parametrize('name', [n for n in FILES if 'behind' not in n])
def test_what_is_cut_is_refused(name):
  data, _ = FILES[name]
  for end in range(0, len(data), 1 + len(data) // 500):
    with pytest.raises(jpeg.FormatError):
      images.read_shape(data[:end], CHECKS)


def chunk(kind: bytes, content: bytes = b'') -> bytes:
  crc = zlib.crc32(kind + content)
  return (
    struct.pack('>I', len(content)) + kind + content + struct.pack('>I', crc)
  )


def header(width=5, height=3, depth=8, colour=2, *methods: int) -> bytes:
  methods = methods or (0, 0, 0)
  return chunk(
    b'IHDR', struct.pack('>IIBBBBB', width, height, depth, colour, *methods)
  )


def png(*chunks: bytes) -> bytes:
  return b'\x89PNG\r\n\x1a\n' + b''.join(chunks) + chunk(b'IEND')


DATA = chunk(b'IDAT')
GIF, _ = FILES['GIF']
WEBP, _ = FILES['WebP']
LOSSLESS, _ = FILES['WebP, lossless']
EXTENDED, _ = FILES['WebP, extended']


def put(data: bytes, at: int, new: bytes) -> bytes:
  return data[:at] + new + data[at + len(new) :]


def gif(width=5, height=3, *, table=True, window=(0, 0, 5, 3)) -> bytes:
  flags, colours = (0x80, bytes(6)) if table else (0, b'')
  picture = b',' + struct.pack('<HHHHB', *window, 0) + b'\2\2\x4c\1\0'
  screen = struct.pack('<HHBBB', width, height, flags, 0, 0)
  return b'GIF89a' + screen + colours + picture + b';'


@pytest.mark.parametrize(
  ('data', 'says'),
  [
    (png(DATA), 'a PNG with an unexpected chunk at byte 8 of 32'),
    (png(header(), header(), DATA), 'an unexpected chunk at byte 33'),
    (png(chunk(b'CgBI'), header(), DATA), 'an unexpected chunk at byte 8'),
    (png(header(), chunk(b'ABCD'), DATA), 'an unexpected chunk at byte 33'),
    (png(header()), 'a PNG without image data'),
    (png(header(0), DATA), 'a PNG of 3×0 pixels, expected sides of 1 to 1,000'),
    (png(header(1_000_001), DATA), 'expected sides of 1 to 1,000,000'),
    (png(header(10**4, 10_001), DATA), 'promises 10001×10000 pixels, more'),
    (png(header(colour=5), DATA), 'a PNG with a broken image header'),
    (png(header(depth=4), DATA), 'a PNG with a broken image header'),
    (png(header(5, 3, 8, 2, 0, 0, 2), DATA), 'a broken image header'),
    (png(chunk(b'IHDR', bytes(12)), DATA), 'a broken image header'),
    (png(header(colour=3), DATA), 'a PNG without its palette'),
    (
      png(header(), chunk(b'PLTE', bytes(4)), DATA),
      'broken palette at byte 33',
    ),
    (
      put(png(header(), DATA), 40, b'\1'),
      'a wrong checksum of a chunk at byte',
    ),
    (put(png(header(), DATA), 33, b'\x7f'), 'a PNG that is cut'),
    (png(header(), DATA).replace(b'\r\n', b'\n'), 'was it sent as text?'),
    (gif(0, window=(0, 0, 0, 3)), 'a GIF of 3×0 pixels, expected sides of 1'),
    (gif(6), 'a GIF whose picture does not fill its screen'),
    (gif(window=(1, 0, 5, 3)), 'a GIF whose picture does not fill its screen'),
    (gif(table=False), 'a GIF without a table of colours'),
    (gif()[:-1] + b'!;', 'a GIF that is cut'),
    (gif()[:-1] + b'\0;', 'a GIF that is damaged at byte 34 of 36'),
    (b'GIF89a' + bytes(7) + b';', 'a GIF of 0 pictures, expected one'),
    (encode(RGB, 'GIF', more=[RGB[::-1]]), 'a GIF of 2 pictures, expected one'),
    (put(WEBP, 23, b'\0'), 'a WebP with a broken image header'),
    (put(WEBP, 20, b'\1'), 'a WebP with a broken image header'),
    (put(WEBP, 26, bytes(2)), 'a WebP of 12×0 pixels, expected sides of 1 to'),
    (put(LOSSLESS, 20, b'\0'), 'a WebP with a broken image header'),
    (put(LOSSLESS, 24, b'\x20'), 'a WebP with a broken image header'),
    (put(EXTENDED, 24, b'\1'), 'a WebP with a broken image header'),
    (put(WEBP, 16, b'\xff\xff'), 'a WebP that is cut'),
    (put(WEBP, 4, b'\xff\xff'), 'a WebP that is cut'),
    (encode(PIXELS, 'WEBP'), 'a WebP with transparency, which TensorFlow'),
    (encode(PIXELS, 'WEBP', lossless=True), 'a WebP with transparency'),
    (encode(RGB, 'WEBP', more=[RGB[::-1]]), 'an animation, expected a picture'),
    (b'BM' + bytes(12), 'not a JPEG, PNG, WebP or GIF but a BMP image'),
    (b'', 'not a JPEG, PNG, WebP or GIF but an empty file'),
  ],
)
def test_what_is_refused(data, says):
  with pytest.raises(jpeg.FormatError) as e:
    images.read_shape(data, CHECKS)
  assert says in str(e.value)
  assert len(str(e.value)) < 200


def test_what_is_refused_would_be_fine_but_for_that():
  assert images.read_shape(gif(), CHECKS) == jpeg.Shape(3, 5, 3)
  assert images.read_shape(png(header(), DATA), CHECKS) == jpeg.Shape(3, 5, 3)


@pytest.mark.parametrize('formats', [('jpeg',), ('png',), ('webp', 'gif')])
def test_only_the_formats_that_are_asked_for(formats):
  for name, (data, _) in FILES.items():
    read = functools.partial(
      images.read_shape, data, jpeg.Checks(formats=formats)
    )
    if name.split(',')[0].lower() in formats:
      read()
    else:
      with pytest.raises(jpeg.FormatError, match='but a'):
        read()


@pytest.mark.parametrize(
  'data',
  [
    png(header(), DATA),
    png(header(), chunk(b'IDAT', zlib.compress(bytes(16)))),
    png(header(), chunk(b'IDAT', zlib.compress(bytes(48))[:-5])),
    put(LOSSLESS, 25, b'\xff' * 20),
    put(gif(), 29, b'\x0f'),
  ],
  ids=range(5),
)
def test_damage_within_is_found_by_decoding(data):
  shape = images.read_shape(data, CHECKS)
  with pytest.raises(jpeg.FormatError, match='TensorFlow'):
    images.check_decodes(data, shape, jpeg.MAX_PIXELS)


def test_what_takes_too_much_memory_is_not_decoded():
  with pytest.raises(jpeg.FormatError, match='3×5 pixels is not decoded'):
    images.check_decodes(png(header(), DATA), jpeg.Shape(3, 5, 3), 14)
