"""What is fuzzed: a reader gets any bytes, and what comes out is checked."""

from __future__ import annotations

import io
import tarfile

import simplejpeg

from imagenet_val_tfrec.inputs import tar_index
from imagenet_val_tfrec.records import jpeg


def check_jpeg(data: bytes) -> None:
  """The header is read, or refused; and libjpeg-turbo does not disagree."""
  try:
    shape = jpeg.read_shape(data)
  except jpeg.JpegError as e:
    _check_message(e)
    return
  assert shape.chans in (1, 3, 4)
  assert 1 <= shape.height * shape.width <= jpeg.MAX_PIXELS
  try:
    height, width, *_ = simplejpeg.decode_jpeg_header(data)
  except (ValueError, KeyError):
    return
  assert (height, width) == (shape.height, shape.width)


def check_tar(data: bytes) -> None:
  """The index is read, or refused; and `tarfile` does not disagree."""
  try:
    found = list(tar_index.read_index(_InMemory(data), 'x.tar'))
  except tar_index.TarError as e:
    _check_message(e)
    return
  end = 0
  for member in found:
    assert member.offset >= end + 512
    end = member.offset + member.size
  assert end <= len(data)
  if any(member.problem for member in found):
    return  # `tarfile` has its own words for these.
  ours = [(m.name.rstrip('/'), m.offset, m.size) for m in found]
  theirs = _by_tarfile(data)
  assert theirs == ours[: len(theirs)]  # It ends in silence where it is lost.


def _by_tarfile(data: bytes) -> list[tuple[str, int, int]]:
  found = []
  try:
    with tarfile.open(fileobj=io.BytesIO(data), mode='r:') as tar:
      for member in tar:
        found.append((member.name, member.offset_data, member.size))
  except (tarfile.TarError, ValueError, OverflowError):
    pass
  return found


def _check_message(error: Exception) -> None:
  message = str(error)
  assert len(message) < 300
  assert message.isprintable()


class _InMemory:
  """A `RandomReader` of bytes."""

  mtime_ns = 0

  def __init__(self, data: bytes):
    self.size = len(data)
    self._data = data

  def read(self, size: int, offset: int) -> bytes:
    return self._data[offset : offset + size]

  def close(self) -> None:
    pass
