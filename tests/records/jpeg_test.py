"""The JPEG header: every kind that is read, and every kind that is refused."""

import io

import making
import pytest
import tensorflow as tf
from making import EOI, SOI, frame, scan, segment
from PIL import Image

from imagenet_val_tfrec.records import jpeg

THUMBNAIL = making.jpeg(frame(height=1, width=2), scan())


def tensorflow_shape(data: bytes) -> tuple[int, ...]:
  return tuple(tf.io.extract_jpeg_shape(data).numpy().tolist())


@pytest.mark.parametrize(
  ('kind', 'shape'),
  [
    ('gray', (180, 240, 1)),
    ('4:4:4', (219, 173, 3)),
    ('restart', (192, 256, 3)),
    ('cmyk', (180, 150, 4)),
    ('tiny', (17, 23, 3)),
    ('progressive', (256, 96, 3)),
    ('plain', (240, 240, 3)),
    ('thumbnail', (150, 400, 3)),
  ],
)
def test_pictures(kind, shape):
  data = making.picture(kind)
  assert jpeg.read_shape(data) == jpeg.Shape(*shape)
  assert tensorflow_shape(data) == shape


@pytest.mark.parametrize(
  'segments',
  [
    pytest.param([frame(), scan()], id='plain'),
    pytest.param([frame(marker=0xC1), scan()], id='extended'),
    pytest.param([frame(marker=0xC2), scan()], id='progressive'),
    pytest.param([frame(marker=0xC9), scan()], id='arithmetic'),
    pytest.param([frame(marker=0xCA), scan()], id='arithmetic progressive'),
    pytest.param([segment(0xE1, THUMBNAIL), frame(), scan()], id='thumbnail'),
    pytest.param(
      [segment(0xE0, b'\xff\xc0' * 20), frame(), scan()], id='SOF inside APP'
    ),
    pytest.param(
      [segment(0xE2, bytes(65533)), frame(), scan()], id='largest APP'
    ),
    pytest.param([segment(0xEF, length=2), frame(), scan()], id='empty APP'),
    pytest.param([segment(0xE5, length=0), frame(), scan()], id='APP of 0'),
    pytest.param([segment(0xFE, length=1), frame(), scan()], id='COM of 1'),
    pytest.param([segment(0xDC, b'\0\1'), frame(), scan()], id='DNL'),
    pytest.param([b'\xff' * 9 + frame(), scan()], id='fill bytes'),
    pytest.param([b'\xff\xd3' + frame(), scan()], id='RST in the header'),
    pytest.param([b'\xff\x01' + frame(), scan()], id='TEM in the header'),
    pytest.param([segment(0xFE), b'ab\xff\0', frame(), scan()], id='stray'),
    pytest.param(
      [frame(), segment(0xFE, b'late'), scan()], id='COM behind the frame'
    ),
    pytest.param([frame(sampling=0x22), scan()], id='sampled'),
    pytest.param(
      [segment(0xDB, bytes(65) + b'\x13' + bytes(128)), frame(), scan()],
      id='two DQT in one',
    ),
    pytest.param(
      [segment(0xC4, bytes(17) + b'\x13\1' + bytes(16)), frame(), scan()],
      id='two DHT in one',
    ),
    pytest.param([frame(), scan(1), scan()], id='one component a scan'),
  ],
)
def test_headers_are_read_as_tensorflow_does(segments):
  data = making.jpeg(*segments)
  assert jpeg.read_shape(data) == jpeg.Shape(3, 5, 3)
  assert tensorflow_shape(data) == (3, 5, 3)


@pytest.mark.parametrize(
  'segments',
  [
    [making.ADOBE, frame(chans=4), scan(4)],
    [frame(chans=4), making.ADOBE, scan(4)],
    [segment(0xEE, b'Other' + bytes(9)), making.ADOBE, frame(chans=4), scan(4)],
  ],
)
def test_cmyk_with_adobes_marker(segments):
  assert jpeg.read_shape(making.jpeg(*segments)).chans == 4


def test_cmyk_without_adobes_marker_is_black_in_tensorflow():
  """Why it is refused: a fact about TensorFlow, checked."""
  data = making.picture('cmyk')
  start = data.index(b'\xff\xee')
  length = int.from_bytes(data[start + 2 : start + 4], 'big')
  without = data[:start] + data[start + 2 + length :]
  assert tf.io.decode_jpeg(data, channels=3).numpy().mean() > 100
  assert tf.io.decode_jpeg(without, channels=3).numpy().max() <= 2
  with pytest.raises(jpeg.JpegError, match="CMYK JPEG without Adobe's marker"):
    jpeg.read_shape(without)


def pillow(kind: str) -> bytes:
  out = io.BytesIO()
  Image.new('RGB', (4, 3)).save(out, kind)
  return out.getvalue()


@pytest.mark.parametrize(
  ('data', 'kind'),
  [
    (b'', 'an empty file'),
    (pillow('PNG'), 'a PNG image'),
    (pillow('GIF'), 'a GIF image'),
    (pillow('BMP'), 'a BMP image'),
    (pillow('TIFF'), 'a TIFF image'),
    (pillow('WEBP'), 'a WebP image'),
    (pillow('JPEG2000'), 'a JPEG 2000 image'),
    (b'\0\0\0\x20ftypavif' + bytes(20), 'an AVIF or HEIC image'),
    (b'\0\0\0\x18ftypheic' + bytes(20), 'an AVIF or HEIC image'),
    (b'\xff\x0a' + bytes(20), 'a JPEG XL image'),
    (b'%PDF-1.7 ...', 'a PDF document'),
    (b'\x1f\x8b\x08\0', 'a gzip file (unpack it first: gzip -dc FILE > NEW)'),
    (b'PK\x03\x04....', 'a zip file (unpack it first: unzip FILE)'),
    (b'<!DOCTYPE html><html>', 'an HTML or XML page'),
    (b'\n\n <HTML>', 'an HTML or XML page'),
    (b'<?xml version="1.0"?><Error>', 'an HTML or XML page'),
    (
      b'version https://git-lfs.github.com/spec/v1\noid sha256:0\n',
      'a Git LFS pointer (fetch the file: git lfs pull)',
    ),
    (b'{"error": "quota"}', 'plain text'),
    (bytes(5000), 'zero bytes only'),
    (b'\x93NUMPY\x01\0', 'something else'),
    (SOI, 'bytes that only begin like a JPEG'),
    (SOI + b'ab' + frame() + scan() + EOI, 'bytes that only begin like a JPEG'),
    (b'\n' + making.jpeg(), 'something else'),
  ],
)
def test_what_is_no_jpeg_is_named(data, kind):
  with pytest.raises(jpeg.JpegError) as e:
    jpeg.read_shape(data)
  assert str(e.value) == f'not a JPEG but {kind}'


PLAIN = making.picture('plain')
HEADER = PLAIN[: PLAIN.index(b'\xff\xda')]


@pytest.mark.parametrize(
  ('data', 'complaint'),
  [
    (making.jpeg(scan()), 'a JPEG without an image header'),
    (making.jpeg(scan(), frame()), 'a JPEG without an image header'),
    (
      SOI + EOI + bytes(9),
      'a JPEG whose header has a stray FF D9 at byte 2 of 13',
    ),
    (making.jpeg(frame(), frame(), scan()), 'a JPEG with two image headers'),
    (making.jpeg(SOI, frame(), scan()), 'header has a stray FF D8 at byte 2'),
    (making.jpeg(segment(0xF7), frame(), scan()), 'header has a stray FF F7'),
    (making.jpeg(segment(0x02), frame(), scan()), 'header has a stray FF 02'),
    (making.jpeg(segment(0xDB, length=1), frame(), scan()), 'an impossible le'),
    *(
      (making.jpeg(segment(*table), frame(), scan()), 'has a broken table at b')
      for table in (
        (0xDB, b'\4' + bytes(64)),  # Of number 4.
        (0xDB, b'\x13' + bytes(64)),  # Of two bytes each, and half of them.
        (0xDB, bytes(66)),
        (0xC4, b'\4' + bytes(16)),
        (0xC4, b'\x20' + bytes(16)),  # Of class 2.
        (0xC4, b'\0\2' + bytes(16)),  # Of two symbols, one there.
        (0xC4, bytes(16)),
        (0xDD, b'\0'),
      )
    ),
    *(
      (making.jpeg(frame(), segment(0xDA, start)), 'has a broken start of scan')
      for start in (
        b'',
        b'\0\0\x3f\0',  # Of no component.
        b'\3\1\0\2\0\4\0\0\x3f\0',  # Of one that is not there.
        b'\3\1\0\2\0\2\0\0\x3f\0',  # Of one that is there once.
        b'\2\1\0\2\0\3\0\0\x3f\0',  # Of three, and says two.
        b'\3\1\0\2\0\3\0\0\x3f',  # Too short.
      )
    ),
    (HEADER, f'header is cut at byte {len(HEADER):,} of {len(HEADER):,}'),
    (HEADER[:-5], 'a JPEG whose header is cut at byte'),
    (HEADER + b'\xff\xda\0\x0c\3', 'a JPEG whose header is cut at byte'),
    (SOI + b'\xff' * 99, 'a JPEG whose header is cut at byte 101 of 101'),
    (SOI + segment(0xE1, length=65535), 'a JPEG whose header is cut at byte 2'),
    (PLAIN[:-2], 'a JPEG that is cut: its end-of-image marker is missing'),
    (PLAIN[:-1], 'a JPEG that is cut: its end-of-image marker is missing'),
    (PLAIN[: len(PLAIN) // 2], 'a JPEG that is cut: its end-of-image'),
    (PLAIN[: len(PLAIN) // 2] + bytes(9999), 'a JPEG that is cut'),
    # A thumbnail's end is not the image's.
    (SOI + segment(0xE1, THUMBNAIL) + frame() + scan(), 'a JPEG that is cut'),
    (making.jpeg(frame(marker=0xC3), scan()), 'a lossless or hierarchical'),
    (making.jpeg(frame(marker=0xC5), scan()), 'a lossless or hierarchical'),
    (making.jpeg(frame(marker=0xCB), scan()), 'a lossless or hierarchical'),
    (making.jpeg(frame(precision=12), scan()), 'a JPEG with 12 bits a sample'),
    (making.jpeg(frame(precision=0), scan()), 'a JPEG with 0 bits a sample'),
    (making.jpeg(frame(chans=2), scan(2)), 'a JPEG with 2 components, expect'),
    (making.jpeg(frame(chans=0), scan(0)), 'a JPEG with 0 components, expect'),
    (making.jpeg(frame(chans=5), scan(5)), 'a JPEG with 5 components, expect'),
    (making.jpeg(frame(chans=4), scan(4)), "CMYK JPEG without Adobe's marker"),
    (
      making.jpeg(
        segment(0xEE, b'Adobe\0\x64\0\0\0\0'), frame(chans=4), scan(4)
      ),
      "a CMYK JPEG without Adobe's marker (TensorFlow would decode it to bl",
    ),
    (
      making.jpeg(frame(chans=4), scan(4), making.ADOBE),
      "a CMYK JPEG without Adobe's marker",
    ),
    (making.jpeg(frame(sampling=0x01), scan()), 'a broken image header'),
    (making.jpeg(frame(sampling=0x51), scan()), 'a broken image header'),
    (making.jpeg(segment(0xC0, bytes(4)), scan()), 'a broken image header'),
    (
      making.jpeg(segment(0xC0, frame()[4:] + b'x'), scan()),
      'a JPEG with a broken image header',
    ),
    (making.jpeg(frame(height=0), scan()), 'a JPEG of 0×5 pixels, expected'),
    (making.jpeg(frame(width=0), scan()), 'a JPEG of 3×0 pixels, expected'),
    (making.jpeg(frame(height=65501), scan()), 'a JPEG of 65501×5 pixels'),
    (
      making.jpeg(frame(height=10_001, width=10_000), scan()),
      'a JPEG that promises 10001×10000 pixels, more than the limit of '
      '100,000,000 (max_pixels in the config raises it)',
    ),
  ],
)
def test_what_is_refused(data, complaint):
  with pytest.raises(jpeg.JpegError) as e:
    jpeg.read_shape(data)
  assert complaint in str(e.value)
  assert len(str(e.value)) < 200


def test_the_limit_can_be_raised():
  data = making.jpeg(frame(height=10_001, width=10_000), scan())
  shape = jpeg.read_shape(data, max_pixels=100_010_000)
  assert (shape.height, shape.width) == (10_001, 10_000)


def test_bytes_behind_the_end_are_fine():
  for tail in (b'\n', bytes(5000), b'not a picture', making.picture('tiny')):
    assert jpeg.read_shape(PLAIN + tail) == jpeg.read_shape(PLAIN)


def test_every_cut_is_noticed():
  data = making.picture('tiny')
  for size in range(len(data)):
    with pytest.raises(jpeg.JpegError):
      jpeg.read_shape(data[:size])


def test_a_header_is_read_in_microseconds():
  """The bound is lax: a search of the whole file would take 50 times longer."""
  data = PLAIN[:-2] + bytes(20_000_000) + EOI
  for _ in range(1000):
    jpeg.read_shape(data)
