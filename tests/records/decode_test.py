"""The decode check: what is damaged behind a good header, and what is fine."""

import random
import struct

import making
import pytest
import tensorflow as tf

from imagenet_val_tfrec.records import jpeg


def check(data: bytes) -> None:
  jpeg.check_decodes(data, jpeg.read_shape(data))


@pytest.mark.parametrize('kind', making.KINDS)
def test_pictures_decode(kind):
  check(making.picture(kind))
  check(making.picture(kind) + b'bytes behind the end')


def odd_sampling(factors: int) -> bytes:
  """Returns a gray 8×8 picture that samples colour in an unusual way."""
  data, tables, position = making.picture('4:4:4'), b'', 2
  while data[position + 1] != 0xDA:
    (length,) = struct.unpack_from('>H', data, position + 2)
    if data[position + 1] in (0xDB, 0xC4):
      tables += data[position : position + 2 + length]
    position += 2 + length
  header = making.segment(
    0xC0,
    struct.pack('>BHHB', 8, 8, 8, 3)
    + bytes([1, factors, 0, 2, 0x11, 1, 3, 0x11, 1]),
  )
  scan = making.segment(0xDA, bytes([3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]))
  # Every block has no difference to the last one, and ends: '00' and '1010'
  # for brightness, '00' and '00' for colour, in the usual tables.
  blocks = '001010' * (factors >> 4) * (factors & 15) + '0000' * 2
  blocks += '1' * (-len(blocks) % 8)
  coded = int(blocks, 2).to_bytes(len(blocks) // 8, 'big')
  return making.jpeg(tables, header, scan, coded)


@pytest.mark.parametrize('factors', [0x11, 0x22, 0x31, 0x13, 0x42, 0x14, 0x24])
def test_unusual_sampling_is_fine(factors):
  data = odd_sampling(factors)
  assert tf.io.decode_jpeg(data).numpy().tolist() == [[[128] * 3] * 8] * 8
  check(data)


def test_what_tensorflow_does_not_decode_either():
  with pytest.raises(jpeg.JpegError, match='TensorFlow does not decode'):
    check(odd_sampling(0x33))


PLAIN = making.picture('plain')
SCAN = PLAIN.index(b'\xff\xda') + 14


@pytest.mark.parametrize(
  'data',
  [
    pytest.param(PLAIN[: len(PLAIN) // 2] + making.EOI, id='cut'),
    pytest.param(PLAIN[:SCAN] + making.EOI, id='no coded data'),
    pytest.param(
      PLAIN[: SCAN + 500] + bytes(500) + PLAIN[SCAN + 1000 :], id='a hole'
    ),
    pytest.param(
      PLAIN[: SCAN + 500] + PLAIN[SCAN + 900 :], id='a piece is missing'
    ),
    pytest.param(making.jpeg(), id='nothing but a header'),
  ],
)
def test_damage_is_found(data):
  with pytest.raises(jpeg.JpegError, match='does not decode') as e:
    check(data)
  assert len(str(e.value)) < 200


def test_a_thumbnails_size_is_not_the_images():
  data = making.picture('thumbnail')
  with pytest.raises(jpeg.JpegError, match='says 24×64 pixels, but it decodes'):
    jpeg.check_decodes(data, jpeg.JpegShape(24, 64, 3))


def test_it_sees_what_a_whole_decoding_sees():
  """The short way, small and gray, misses nothing that the long one finds."""
  import simplejpeg

  rng = random.Random(0)
  verdicts = []
  for data in making.pictures():
    for _ in range(25):
      damaged = bytearray(data)
      at = data.index(b'\xff\xda') + 14
      damaged[rng.randrange(at, len(data) - 2)] = rng.randrange(256)
      try:
        simplejpeg.decode_jpeg(bytes(damaged), strict=True)
        expected = True
      except ValueError:
        expected = False
      try:
        check(bytes(damaged))
        found = True
      except jpeg.JpegError:
        found = False
      verdicts.append((expected, found))
  assert set(verdicts) == {(True, True), (False, False)}


@pytest.mark.parametrize(
  'parts',
  [
    (making.frame(8000, 8000, marker=0xC2), making.scan()),
    (making.frame(8000, 8000), making.scan(), making.scan()),
  ],
)
def test_what_takes_too_much_memory_is_not_decoded(parts):
  """A few bytes that would take 384 MB of coefficients."""
  with pytest.raises(jpeg.JpegError, match='384 MB to decode, more'):
    check(making.jpeg(*parts))
  with pytest.raises(jpeg.JpegError, match='does not decode cleanly'):
    check(making.jpeg(making.frame(8000, 8000), making.scan()))
