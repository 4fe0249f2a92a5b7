"""Walks a TFRecord file by its frames, without reading the payloads.

The frame is the one that `records` describes. Where a length is damaged, the
walk goes on at the next place that holds a length with its right checksum.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import google_crc32c

from imagenet_val_tfrec import records, storage

_OVERHEAD = records.HEADER_SIZE + records.FOOTER_SIZE
# How far to look for the next frame: first, then, and at most.
_NEAR, _FAR, _CHUNK = 1 << 7, 1 << 14, 1 << 20


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
      records.RecordError: if it does not match its checksum, or is longer.
    """
    if self.length > max_length:
      raise records.RecordError(
        f'a record of {self.length:,} bytes is not read, as the limit is '
        f'{max_length:,} (--max_pixels raises it)'
      )
    start = self.offset + records.HEADER_SIZE
    payload = reader.read(self.length, start)
    footer = reader.read(records.FOOTER_SIZE, start + self.length)
    records.check_payload(payload, footer)
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
      header = reader.read(records.HEADER_SIZE, position)
      length = records.frame_length(header)
    except records.RecordError as e:
      following = _next_frame(reader, position + 1)
      yield Damage(position, following - position, str(e))
      position = following
      continue
    end = position + length + _OVERHEAD
    if end > reader.size:
      yield Damage(
        position,
        reader.size - position,
        f'file ends within this record, {end - reader.size:,} bytes too early',
      )
      return
    yield Frame(position, length)
    position = end


def _next_frame(reader: storage.RandomReader, position: int) -> int:
  """Returns where the next frame that fits in the file starts, or its end."""
  size = _NEAR
  while position < reader.size:
    chunk = reader.read(size + records.HEADER_SIZE - 1, position)
    for start in _headers_near(chunk) if size == _NEAR else _headers(chunk):
      length = records.frame_length(chunk[start : start + records.HEADER_SIZE])
      if position + start + length + _OVERHEAD <= reader.size:
        return position + start
    position += size
    size = min(max(2 * size, _FAR), _CHUNK)
  return reader.size


def _headers_near(chunk: bytes) -> Iterator[int]:
  """As `_headers`, one place after the other: most damage is short."""
  for start in range(len(chunk) - records.HEADER_SIZE + 1):
    if chunk[start + 4 : start + 8] == b'\0\0\0\0':
      with contextlib.suppress(records.RecordError):
        records.frame_length(chunk[start : start + records.HEADER_SIZE])
        yield start


def _headers(chunk: bytes) -> list[int]:
  """Returns where a length below 4 GiB stands before its checksum.

  At every place at once, as the bytes may be such that many look likely.
  """
  import numpy as np

  if len(chunk) < records.HEADER_SIZE:
    return []
  places = len(chunk) - records.HEADER_SIZE + 1
  data = np.frombuffer(chunk, np.uint8)
  crc = np.full(places, _crc(bytes(8)), np.uint32)
  for i in range(4):
    crc ^= _crc_table(i)[data[i : i + places]]
  masked = (crc >> 15 | crc << 17) + np.uint32(records.CRC_MASK)
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
