"""The wire format of protocol buffers, as far as `tf.train.Example` needs it.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations


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
  value = shift = 0
  while shift < 70:
    if position >= len(view):
      break
    byte = view[position]
    position += 1
    value |= (byte & 0x7F) << shift
    if byte < 0x80:
      return value & (1 << 64) - 1, position
    shift += 7
  raise WireError('a broken number')


def split(view: memoryview) -> list[tuple[int, memoryview | int]]:
  """Splits a message in (field number, bytes or integer) pairs."""
  found: list[tuple[int, memoryview | int]] = []
  position = 0
  while position < len(view):
    tag, position = read_varint(view, position)
    kind = tag & 7
    if kind == 0:
      value, position = read_varint(view, position)
      found.append((tag >> 3, value))
      continue
    if kind == 2:
      size, position = read_varint(view, position)
    elif kind in (1, 5):
      size = 8 if kind == 1 else 4
    else:
      raise WireError('an unknown wire type')
    if position + size > len(view):
      raise WireError('it is cut')
    found.append((tag >> 3, view[position : position + size]))
    position += size
  return found


def fields(view: memoryview, number: int) -> list[memoryview]:
  """Returns the length-delimited fields of that number."""
  return [
    value
    for field, value in split(view)
    if field == number and isinstance(value, memoryview)
  ]
