"""The wire format of protocol buffers, as far as `tf.train.Example` needs it.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

_MAX_VARINT = 10  # Bytes.
_UINT64 = (1 << 64) - 1


class WireError(ValueError):
  """Bytes that are no message."""


def varint(value: int) -> bytes:
  """Returns a number of 0 or more as a varint."""
  parts = bytearray()
  while value > 0x7F:
    parts.append(value & 0x7F | 0x80)
    value >>= 7
  parts.append(value)
  return bytes(parts)


def read_varint(view: memoryview, position: int) -> tuple[int, int]:
  """Returns the number at `position`, and the position behind it."""
  if position < len(view) and view[position] < 0x80:  # As nearly all are.
    return view[position], position + 1
  value = 0
  for i, byte in enumerate(view[position : position + _MAX_VARINT]):
    value |= (byte & 0x7F) << 7 * i
    if byte < 0x80:
      return value & _UINT64, position + i + 1
  raise WireError('a broken number')


def split(view: memoryview) -> Iterator[tuple[int, memoryview | int]]:
  """Yields a message's fields: their numbers, and bytes or an integer."""
  position = 0
  while position < len(view):
    tag, position = read_varint(view, position)
    kind = tag & 7
    if kind == 0:
      value, position = read_varint(view, position)
      yield tag >> 3, value
      continue
    if kind == 2:
      size, position = read_varint(view, position)
    elif kind in (1, 5):
      size = 8 if kind == 1 else 4
    else:
      raise WireError('an unknown wire type')
    if position + size > len(view):
      raise WireError('it is cut')
    yield tag >> 3, view[position : position + size]
    position += size


def fields(view: memoryview, number: int) -> Iterator[memoryview]:
  """Yields the length-delimited fields of that number."""
  for field, value in split(view):
    if field == number and isinstance(value, memoryview):
      yield value
