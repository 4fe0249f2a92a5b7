"""The record with five fields, written and read without TensorFlow.

A record is a `tf.train.Example` in a TFRecord frame. Its bytes are those of
`Example.SerializeToString(deterministic=True)`, map keys in sorted order,
written by `tf.io.TFRecordWriter`:

    uint64 length | uint32 crc(length) | payload | uint32 crc(payload)

little-endian, the CRCs being masked CRC-32C. Sources:
`tensorflow/core/example/{example,feature}.proto` and
`tensorflow/core/lib/io/record_writer.h`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import struct
from collections.abc import Iterator, Sequence

import google_crc32c

from imagenet_val_tfrec import wire

# What a record adds to its image: frame, field names, tags, shape and label.
# At most, that is, for labels below 2**31 and images below 2**28 bytes.
MAX_OVERHEAD = 128

HEADER_SIZE = 12
FOOTER_SIZE = 4
CRC_MASK = 0xA282EAD8

_LENGTH = struct.Struct('<Q')
_CRC = struct.Struct('<I')

# Tags of the wire format: field number << 3 | 2 (length-delimited).
_FIELD_1, _FIELD_2, _FIELD_3 = b'\x0a', b'\x12', b'\x1a'
# Field numbers of Feature.
_BYTES_LIST, _INT64_LIST = 1, 3
_IMAGE_KEY = b'\x0a\x05image\x12'
_SMALL = 64  # Bytes of a map entry that may well be met again.
_INTEGERS = ('chans', 'height', 'label', 'width')


class RecordError(ValueError):
  """Bytes that are not a record with the five fields."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
  """One example: the five fields.

  Attributes:
    label: Class, 0 or more.
    height: In pixels.
    width: In pixels.
    chans: Colour components of the image as stored: 1, 3 or 4.
    image: The image file's own bytes.
  """

  label: int
  height: int
  width: int
  chans: int
  image: bytes


def serialise(record: Record) -> list[bytes]:
  """Returns the framed record in parts, so that the image is not copied.

  Returns:
    Frame header, what stands before the image, the image itself, what stands
    after it, frame footer.
  """
  image = record.image
  size = len(image)
  head = _FIELD_1 + wire.varint(size)  # BytesList.value
  head = _FIELD_1 + wire.varint(len(head) + size) + head  # Feature.bytes_list
  head = _IMAGE_KEY + wire.varint(len(head) + size) + head  # The map entry
  head = _FIELD_1 + wire.varint(len(head) + size) + head  # Features.feature
  before = (
    _integer('chans', record.chans) + _integer('height', record.height) + head
  )
  after = _integer('label', record.label) + _integer('width', record.width)
  features = len(before) + size + len(after)
  before = _FIELD_1 + wire.varint(features) + before  # Example.features
  crc = google_crc32c.value(before)
  crc = google_crc32c.extend(crc, image)
  crc = google_crc32c.extend(crc, after)
  return [
    frame_header(len(before) + size + len(after)),
    before,
    image,
    after,
    _CRC.pack(_mask(crc)),
  ]


def parse(payload: bytes) -> Record:
  """Reads a serialised example, as written by anyone.

  Args:
    payload: A `tf.train.Example`; map entries in any order, integers packed or
      not, further features being passed over.

  Returns:
    The five fields.

  Raises:
    RecordError: if it is no example, or a field is missing or not as expected.
  """
  try:
    return _parse(memoryview(payload))
  except wire.WireError as e:
    raise RecordError(f'not a tf.train.Example: {e}') from e


def frame_header(length: int) -> bytes:
  """Returns the 12 bytes that stand before a payload of `length` bytes."""
  size = _LENGTH.pack(length)
  return size + _CRC.pack(masked_crc(size))


def frame_length(header: bytes) -> int:
  """Returns the payload's length from the 12 bytes before it.

  Args:
    header: What stands before the payload.

  Raises:
    RecordError: if it is cut, or does not match its own checksum.
  """
  if len(header) < HEADER_SIZE:
    raise RecordError(
      f'file ends within a record header of {HEADER_SIZE} bytes'
    )
  if masked_crc(header[:8]) != _CRC.unpack_from(header, 8)[0]:
    raise RecordError('checksum of the record length does not match')
  length: int = _LENGTH.unpack_from(header)[0]
  return length


def check_payload(payload: bytes, footer: bytes) -> None:
  """Raises RecordError if `payload` does not match the 4 bytes behind it."""
  if len(footer) < FOOTER_SIZE:
    raise RecordError('file ends within a record')
  if masked_crc(payload) != _CRC.unpack(footer)[0]:
    raise RecordError('checksum of the record data does not match')


def masked_crc(data: bytes) -> int:
  """Returns the CRC-32C of `data`, masked as TFRecord files hold it."""
  return _mask(google_crc32c.value(data))


def _parse(view: memoryview) -> Record:
  integers: dict[str, int] = {}
  image = None
  for features in wire.fields(view, 1):
    for entry in wire.fields(features, 1):
      small = len(entry) <= _SMALL
      name, value = _recurring(bytes(entry)) if small else _entry(entry)
      if isinstance(value, int):
        integers[name] = value
      elif value is not None:
        image = value
  missing = [name for name in _INTEGERS if name not in integers]
  if image is None or missing:
    missing += ['image'] * (image is None)
    raise RecordError(
      f'no field {", ".join(map(repr, missing))}; expected label, height, '
      'width, chans and image'
    )
  return Record(**integers, image=image)


def _entry(entry: memoryview) -> tuple[str, int | bytes | None]:
  """Returns the name of a map entry, and its value; None for other fields."""
  name = bytes(_only(entry, 1, 'key')).decode('utf-8', 'replace')
  if name == 'image':
    return name, bytes(_only(_values(entry, name, _BYTES_LIST), 1, name))
  return name, _single_integer(name, entry) if name in _INTEGERS else None


@functools.lru_cache(maxsize=1 << 14)  # Sizes and labels recur.
def _recurring(entry: bytes) -> tuple[str, int | bytes | None]:
  return _entry(memoryview(entry))


def _mask(crc: int) -> int:
  return ((crc >> 15 | crc << 17) + CRC_MASK) & 0xFFFFFFFF


@functools.lru_cache(maxsize=1 << 14)  # Sizes and labels recur.
def _integer(key: str, value: int) -> bytes:
  """Returns the map entry of an int64 feature with one value."""
  feature = wire.varint(value)
  feature = _FIELD_1 + wire.varint(len(feature)) + feature  # Int64List.value
  feature = _FIELD_3 + wire.varint(len(feature)) + feature  # Feature.int64_list
  name = key.encode()
  entry = _FIELD_1 + wire.varint(len(name)) + name
  entry += _FIELD_2 + wire.varint(len(feature)) + feature
  return _FIELD_1 + wire.varint(len(entry)) + entry  # Features.feature


def _single_integer(name: str, entry: memoryview) -> int:
  int64_list = _values(entry, name, _INT64_LIST)
  values = list(itertools.islice(_integers(int64_list), 2))
  if len(values) != 1:
    raise _not_one(name, values)
  # Two's complement, as int64 goes on the wire.
  return values[0] - (1 << 64 if values[0] >> 63 else 0)


def _integers(int64_list: memoryview) -> Iterator[int]:
  """Yields the values of an Int64List, packed or not."""
  for field, value in wire.split(int64_list):
    if field == 1 and isinstance(value, int):
      yield value
    elif field == 1 and isinstance(value, memoryview):
      position = 0
      while position < len(value):
        number, position = wire.read_varint(value, position)
        yield number


def _values(entry: memoryview, name: str, kind: int) -> memoryview:
  """Returns the list of values in a feature, which is of that kind."""
  feature = list(itertools.islice(wire.split(_only(entry, 2, name)), 2))
  if len(feature) == 1:
    field, values = feature[0]
    if field == kind and isinstance(values, memoryview):
      return values
  expected = 'bytes' if kind == _BYTES_LIST else 'integers'
  raise RecordError(f'field {name!r} holds no {expected}')


def _only(message: memoryview, number: int, name: str) -> memoryview:
  """Returns the field of that number, which is there once."""
  found = list(itertools.islice(wire.fields(message, number), 2))
  if len(found) != 1:
    raise _not_one(name, found)
  return found[0]


def _not_one(name: str, found: Sequence[object]) -> RecordError:
  many = 'several values' if found else 'no value'
  return RecordError(f'field {name!r} holds {many}, expected one')
