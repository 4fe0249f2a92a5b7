"""The decode check: what is damaged behind a good header, and what is fine."""

import collections
import random
import struct
from collections.abc import Callable, Iterator

import making
import pytest
import simplejpeg
import tensorflow as tf
from making import EOI, frame, scan, segment

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
  header = segment(
    0xC0,
    struct.pack('>BHHB', 8, 8, 8, 3)
    + bytes([1, factors, 0, 2, 0x11, 1, 3, 0x11, 1]),
  )
  start = segment(0xDA, bytes([3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0]))
  # Every block has no difference to the last one, and ends: '00' and '1010'
  # for brightness, '00' and '00' for colour, in the usual tables.
  blocks = '001010' * (factors >> 4) * (factors & 15) + '0000' * 2
  blocks += '1' * (-len(blocks) % 8)
  coded = int(blocks, 2).to_bytes(len(blocks) // 8, 'big')
  return making.jpeg(tables, header, start, coded)


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
    pytest.param(PLAIN[: len(PLAIN) // 2] + EOI, id='cut'),
    pytest.param(PLAIN[:SCAN] + EOI, id='no coded data'),
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


@pytest.mark.parametrize(
  'parts',
  [
    (frame(8000, 8000, marker=0xC2), scan()),
    (frame(8000, 8000), scan(), scan()),
  ],
)
def test_what_takes_too_much_memory_is_not_decoded(parts):
  """A few bytes that would take 384 MB of coefficients."""
  with pytest.raises(jpeg.JpegError, match='384 MB to decode, more'):
    check(making.jpeg(*parts))
  with pytest.raises(jpeg.JpegError, match='does not decode cleanly'):
    check(making.jpeg(frame(8000, 8000), scan()))


# --- a corpus of damage ---

ALTERED = {
  'LF as CRLF': lambda data: data.replace(b'\n', b'\r\n'),
  'CRLF as LF': lambda data: data.replace(b'\r\n', b'\n'),
  'LF as CR': lambda data: data.replace(b'\n', b'\r'),
  'without CR': lambda data: data.replace(b'\r', b''),
  'without LF': lambda data: data.replace(b'\n', b''),
  'without NUL': lambda data: data.replace(b'\0', b''),
  'as UTF-8': lambda data: data.decode('latin-1').encode(),
}


def spans(data: bytes) -> dict[int, tuple[int, int]]:
  """Returns where the last segment of each marker starts and ends."""
  found, end = {}, 2
  while 0xDA not in found:
    start, marker = end, data[end + 1]
    end += 2 + int.from_bytes(data[start + 2 : start + 4], 'big')
    found[marker] = start, end
  return found


def damages(data: bytes, rng: random.Random) -> Iterator[tuple[str, bytes]]:
  """Yields what may be done to a JPEG, each once, at random places."""
  segments = spans(data)
  start, end = rng.choice(list(segments.values()))
  header, size = segments[0xDA][1], len(data)
  sof = 0xC2 if 0xC2 in segments else 0xC0
  in_header, in_data = rng.randrange(2, header), rng.randrange(header, size)
  some, bit = rng.randbytes(rng.randint(1, 3)), 1 << rng.randrange(8)

  def put(at: int, new: bytes, old: int | None = None) -> bytes:
    return data[:at] + new + data[at + (len(new) if old is None else old) :]

  yield 'LF as CRLF, some', data.replace(b'\n', b'\r\n', rng.randint(1, 3))
  for place, at in (('header', in_header), ('data', in_data)):
    yield f'a bit in the {place}', put(at, bytes([data[at] ^ bit]))
    yield f'bytes in the {place}', put(at, some)
    yield f'more bytes in the {place}', put(at, some, 0)
    yield f'fewer bytes in the {place}', put(at, b'', len(some))
    yield f'a hole in the {place}', put(at, bytes(min(64, size - at)))
    yield f'cut in the {place}', data[:at]
    yield f'cut in the {place}, with an end', data[:at] + EOI
  yield 'a marker in the data', put(in_data, b'\xff' + some, 0)
  yield 'a segment less', put(start, b'', end - start)
  yield 'a segment twice', put(start, data[start:end], 0)
  yield 'a COM more', put(start, segment(0xFE, b'hello'), 0)
  yield 'an APP0 of no length', put(start, segment(0xE0, length=0), 0)
  yield 'other bytes between segments', put(start, some, 0)
  yield 'fill bytes between segments', put(start, b'\xff\xff', 0)
  yield 'another marker', put(start + 1, bytes([rng.randint(1, 254)]))
  length = end - start - 2 + rng.choice([-17, -1, 1, 2, 17, 65])
  yield 'another length', put(start + 2, struct.pack('>H', length & 0xFFFF))
  yield 'no length', put(start + 2, b'\0\0')
  yield 'another restart interval', put(start, segment(0xDD, some), 0)
  few = bytes([rng.choice([0, 1, 2, 3, 4, 5, 0x10, 0x13, 0x20, 63, 255])])
  for name, marker, first in (
    ('tables', 0xDB, 4),
    ('codes', 0xC4, 4),
    ('lengths of codes', 0xC4, 5 + rng.randrange(16)),
    ('a scan', 0xDA, 4 + rng.randrange(10)),
    ('a frame', sof, 4 + rng.randrange(6)),
    ('a component', sof, 10 + 2 * rng.randrange(2)),
    ('sampling', sof, 11),
  ):
    yield f'another number in {name}', put(segments[marker][0] + first, few)


def corpus() -> Iterator[tuple[str, bytes]]:
  """Yields the pictures, whole and damaged, and what was done to them."""
  rng = random.Random(0)
  for data in making.pictures():
    yield 'nothing', data
    for name, alter in ALTERED.items():
      yield name, alter(data)
    for _ in range(12):
      yield from damages(data, rng)


def judged(judge: Callable[[bytes], object], data: bytes) -> str:
  """Returns '' if it takes the JPEG, else its complaint."""
  try:
    judge(data)
  except ValueError as e:
    return str(e)
  return ''


def test_what_strict_decoding_refuses_is_refused():
  """And nothing else: small and gray, all shows that shows in full."""
  refused = collections.Counter()
  for what, data in corpus():
    strict, ours = judged(simplejpeg.decode_jpeg, data), judged(check, data)
    refused[bool(strict)] += 1
    if strict.endswith('Could not determine subsampling level of JPEG image'):
      # Or the header cannot be read, which `read_shape` sees.
      assert 'sampling' in what or judged(jpeg.read_shape, data), what
    elif strict:
      assert ours, what
    elif ours:
      assert ours.startswith("a CMYK JPEG without Adobe's marker"), what
    else:
      shape = jpeg.read_shape(data)
      decoded = simplejpeg.decode_jpeg(data).shape
      assert decoded[:2] == (shape.height, shape.width)
  assert refused[True] > 2000
  assert refused[False] > 900
