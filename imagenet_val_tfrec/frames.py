"""Walks a TFRecord file by its frames, without reading the payloads.

The frame is the one that `records` describes. Where a length is damaged, the
walk goes on at the next place that holds a length with its right checksum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import google_crc32c

from imagenet_val_tfrec import records, storage

_OVERHEAD = records.HEADER_SIZE + records.FOOTER_SIZE
_CHUNK = 1 << 20


class Frame(NamedTuple):
  """One record in its file.

  Attributes:
    offset: Of its first byte, which is the first of its length.
    length: Of its payload, in bytes.
  """

  offset: int
  length: int

  def payload(self, reader: storage.RandomReader) -> bytes:
    """Reads the payload and checks it.

    Raises:
      records.RecordError: if it does not match its checksum.
    """
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
  while position < reader.size:
    chunk = reader.read(_CHUNK + records.HEADER_SIZE - 1, position)
    for start in _headers(chunk):
      length = records.frame_length(chunk[start : start + records.HEADER_SIZE])
      if position + start + length + _OVERHEAD <= reader.size:
        return position + start
    position += _CHUNK
  return reader.size


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
    # A CRC is linear: what each byte adds does not depend on the others.
    adds = [_crc(bytes(i) + bytes([b]) + bytes(7 - i)) for b in range(256)]
    table = np.array(adds, np.uint32) ^ np.uint32(adds[0])
    crc ^= table[data[i : i + places]]
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


def _crc(data: bytes) -> int:
  crc: int = google_crc32c.value(data)
  return crc
