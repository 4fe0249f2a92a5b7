"""Walks a TFRecord file by its frames, without reading the payloads.

The frame is the one that `records` describes. Where a length is damaged, the
walk goes on at the next place that holds a length with its right checksum.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from imagenet_val_tfrec import records, storage

_OVERHEAD = records.HEADER_SIZE + records.FOOTER_SIZE
_CHUNK = 1 << 20
# A length that is not 0, below 4 GiB, and something for its checksum.
_CANDIDATE = re.compile(rb'(?s)(?=(?!\0{4}).{4}\0{4}.{4})')


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
    for match in _CANDIDATE.finditer(chunk):
      start = match.start()
      try:
        length = records.frame_length(chunk[start : start + 12])
      except records.RecordError:
        continue
      if position + start + length + _OVERHEAD <= reader.size:
        return position + start
    position += _CHUNK
  return reader.size
