"""The frames of a TFRecord file: the bytes around each record.

    uint64 length | uint32 crc(length) | payload | uint32 crc(payload)

Little-endian; the CRCs are masked CRC-32C. Source:
`tensorflow/core/lib/io/record_writer.h`.
"""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import google_crc32c

from imagenet_val_tfrec.core import storage

HEADER_SIZE = 12
FOOTER_SIZE = 4
OVERHEAD = HEADER_SIZE + FOOTER_SIZE

_LENGTH = struct.Struct('<Q')
_CRC = struct.Struct('<I')
_CRC_MASK = 0xA282EAD8

# A length below 4 GiB that is not 0, before any checksum.
_LIKELY_HEADER = re.compile(rb'(?=(?!\0{4}).{4}\0{4}.{4})', re.DOTALL)
_CHUNK = 1 << 16


class RecordError(ValueError):
  """Bytes that are not a record with the five fields."""


class Frame(NamedTuple):
  """One record in its file: where it starts, and the bytes of its payload."""

  offset: int
  length: int

  def payload(self, reader: storage.RandomReader, max_length: int) -> bytes:
    """Reads the payload; RecordError if it is damaged, or longer than that."""
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

  They go on to the next frame, or to the end of the file.
  """

  offset: int
  length: int
  what: str

  def payload(self, reader: storage.RandomReader, max_length: int) -> bytes:
    """Raises RecordError, in place of what `Frame` does."""
    raise RecordError(
      f'{self.what}; {self.length} bytes are passed over, to the next record '
      'or the end of the file'
    )


@contextlib.contextmanager
def open_records(
  path: str,
) -> Iterator[tuple[storage.RandomReader, Iterator[Frame | Damage]]]:
  """Opens a TFRecord file; yields what reads it, and where its records are."""
  with storage.open_random(path) as reader:
    yield reader, walk(reader)


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
  return size + footer(google_crc32c.value(size))


def frame_length(header: bytes) -> int:
  """Returns the payload's length; RecordError if the header is damaged."""
  if len(header) < HEADER_SIZE:
    raise RecordError(
      f'file ends within a record header of {HEADER_SIZE} bytes'
    )
  if header[8:] != footer(google_crc32c.value(header[:8])):
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
  if behind != footer(google_crc32c.value(payload)):
    raise RecordError('checksum of the record data does not match')


def _next_frame(reader: storage.RandomReader, position: int) -> int:
  """Returns where the next frame that fits in the file starts, or its end."""
  while position < reader.size:
    chunk = reader.read(_CHUNK + HEADER_SIZE - 1, position)
    for match in _LIKELY_HEADER.finditer(chunk):
      start = position + match.start()
      with contextlib.suppress(RecordError):
        header = chunk[match.start() : match.start() + HEADER_SIZE]
        if start + frame_length(header) + OVERHEAD <= reader.size:
          return start
    position += _CHUNK
  return reader.size
