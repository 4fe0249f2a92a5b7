"""The frames of a TFRecord file: the bytes around each record.

    uint64 length | uint32 crc(length) | payload | uint32 crc(payload)

Little-endian; the CRCs are masked CRC-32C. Source:
`tensorflow/core/lib/io/record_writer.h`.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import google_crc32c

from imagenet_val_tfrec.core import storage

HEADER_SIZE = 12
FOOTER_SIZE = 4
OVERHEAD = HEADER_SIZE + FOOTER_SIZE

_LENGTH = struct.Struct('<Q')
_CRC = struct.Struct('<I')
_CRC_MASK = 0xA282EAD8

# How far to look for the next frame behind damage: first, and at most.
_FIRST_CHUNK, _LARGEST_CHUNK = 1 << 14, 1 << 20


class RecordError(ValueError):
  """Bytes that are not a record with the five fields."""


class Frame(NamedTuple):
  """One record in its file.

  Attributes:
    offset: Of its first byte, which is the first of its length.
    length: Of its payload, in bytes.
  """

  offset: int
  length: int

  def payload(self, reader: storage.RandomReader, max_length: int) -> bytes:
    """Reads the payload and checks it.

    Args:
      reader: The open file.
      max_length: Most bytes that are read.

    Raises:
      RecordError: if it does not match its checksum, or is longer.
    """
    if self.length > max_length:
      raise RecordError(
        f'a record of {self.length:,} bytes is not read, as the limit is '
        f'{max_length:,} (--max_pixels raises it)'
      )
    start = self.offset + HEADER_SIZE
    payload = reader.read(self.length, start)
    check_payload(payload, reader.read(FOOTER_SIZE, start + self.length))
    return payload


class Damage(NamedTuple):
  """Bytes that are no frame; at least one record is lost there.

  Attributes:
    offset: Of the first of them.
    size: How many they are, up to the next frame or the end of the file.
    what: What is wrong at `offset`.
  """

  offset: int
  size: int
  what: str


def walk(reader: storage.RandomReader) -> Iterator[Frame | Damage]:
  """Yields all that is in an open TFRecord file, from its start to its end."""
  position = 0
  while position < reader.size:
    try:
      header = reader.read(HEADER_SIZE, position)
      length = frame_length(header)
    except RecordError as e:
      following = _next_frame(reader, position + 1)
      yield Damage(position, following - position, str(e))
      position = following
      continue
    end = position + length + OVERHEAD
    if end > reader.size:
      yield Damage(
        position,
        reader.size - position,
        f'file ends within this record, {end - reader.size:,} bytes too early',
      )
      return
    yield Frame(position, length)
    position = end


def frame_header(length: int) -> bytes:
  """Returns the 12 bytes that stand before a payload of `length` bytes."""
  size = _LENGTH.pack(length)
  return size + footer(_crc(size))


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
  if header[8:] != footer(_crc(header[:8])):
    raise RecordError('checksum of the record length does not match')
  length: int = _LENGTH.unpack_from(header)[0]
  return length


def footer(crc: int) -> bytes:
  """Returns the 4 bytes that stand behind what has this CRC-32C."""
  return _CRC.pack(((crc >> 15 | crc << 17) + _CRC_MASK) & 0xFFFFFFFF)


def check_payload(payload: bytes, behind: bytes) -> None:
  """Raises RecordError if `payload` does not match the 4 bytes behind it."""
  if len(behind) < FOOTER_SIZE:
    raise RecordError('file ends within a record')
  if behind != footer(_crc(payload)):
    raise RecordError('checksum of the record data does not match')


def _next_frame(reader: storage.RandomReader, position: int) -> int:
  """Returns where the next frame that fits in the file starts, or its end."""
  size = _FIRST_CHUNK
  while position < reader.size:
    chunk = reader.read(size + HEADER_SIZE - 1, position)
    for start in _headers(chunk):
      length = frame_length(chunk[start : start + HEADER_SIZE])
      if position + start + length + OVERHEAD <= reader.size:
        return position + start
    position += size
    size = _LARGEST_CHUNK
  return reader.size


def _headers(chunk: bytes) -> list[int]:
  """Returns where a length below 4 GiB stands before its checksum.

  All places are checked at once, as hostile bytes may have many that fit.
  """
  import numpy as np

  if len(chunk) < HEADER_SIZE:
    return []
  places = len(chunk) - HEADER_SIZE + 1
  data = np.frombuffer(chunk, np.uint8)
  crc = np.full(places, _crc(bytes(8)), np.uint32)
  for i in range(4):
    crc ^= _crc_table(i)[data[i : i + places]]
  masked = (crc >> 15 | crc << 17) + np.uint32(_CRC_MASK)
  stored = sum(
    data[8 + i : 8 + i + places].astype(np.uint32) << np.uint32(8 * i)
    for i in range(4)
  )
  small = np.ones(places, bool)
  for i in range(4, 8):
    small &= data[i : i + places] == 0
  found: list[int] = np.flatnonzero(small & (masked == stored)).tolist()
  return found


@functools.cache
def _crc_table(place: int) -> Any:
  """Returns what each byte adds to the CRC of eight, at that place.

  A CRC is linear: it does not depend on the other bytes.
  """
  import numpy as np

  before, behind = bytes(place), bytes(7 - place)
  crcs = [_crc(before + bytes([byte]) + behind) for byte in range(256)]
  return np.array(crcs, np.uint32) ^ np.uint32(crcs[0])


def _crc(data: bytes) -> int:
  crc: int = google_crc32c.value(data)
  return crc
