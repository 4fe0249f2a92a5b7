"""What is fuzzed: a reader gets any bytes, and what comes out is checked."""

from __future__ import annotations

import contextlib
import io
import tarfile
import warnings
from typing import IO

import simplejpeg
from PIL import Image

from imagenet_val_tfrec.inputs import entries, tar_index
from imagenet_val_tfrec.records import images, jpeg

# What `tarfile` has no word for is of unknown type.
WORDS = {
  tarfile.LNKTYPE: 'a hard link',
  tarfile.SYMTYPE: 'a symbolic link',
  tarfile.CHRTYPE: 'a device',
  tarfile.BLKTYPE: 'a device',
  tarfile.DIRTYPE: 'a folder',
  tarfile.FIFOTYPE: 'a FIFO',
}


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


def check_images(data: bytes) -> None:
  """The header is read, or refused; and Pillow does not disagree."""
  try:
    shape = images.read_shape(data, jpeg.Checks(formats=tuple(images.FORMATS)))
  except jpeg.FormatError as e:
    _check_message(e)
    return
  assert 1 <= shape.chans <= 4
  assert 1 <= shape.height * shape.width <= jpeg.MAX_PIXELS
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    try:
      size = Image.open(io.BytesIO(data)).size
    except (OSError, SyntaxError, ValueError):
      return
  assert size == (shape.width, shape.height)


def check_tar(data: bytes) -> None:
  """The index is read, or refused; and `tarfile` does not disagree."""
  try:
    found = list(tar_index.read_index(InMemory(data), 'x.tar'))
  except tar_index.TarError as e:
    _check_message(e)
    return
  end = 0
  for member in found:
    assert member.offset >= end + tar_index.BLOCK
    end = member.offset + member.size
  assert end <= len(data)
  if any(member.problem for member in found):
    return  # Of headers that contradict each other `tarfile` takes another one.
  theirs = by_tarfile(io.BytesIO(data))
  # It ends in silence where it is lost.
  assert theirs == comparable(found)[: len(theirs)]


def comparable(found: list[entries.Entry]) -> list[entries.Entry]:
  """Returns members as `by_tarfile` does."""
  return [
    entries.Entry('', 0, 0, 0, m.problem)
    if m.problem == 'a sparse file'
    else m._replace(path=m.path.rstrip('/'), mtime_ns=0)
    for m in found
  ]


def by_tarfile(file: IO[bytes]) -> list[entries.Entry]:
  """Returns the members that `tarfile` finds, but for what it does otherwise.

  - The place of a ustar header's prefix holds times in GNU's incremental tars:
    it takes them for the name of a folder.
  - A file whose name ends in `/` is a folder, without data, in the oldest tars
    only; to GNU tar and here it is one in all, and may have data.
  - Of what has no data it gives the size in the header; here it is 0.
  - Of a sparse file it gives the size with the holes; that there is one is all
    that is compared.
  - An empty name before a header is one; to POSIX, the header's own is.
  """
  found = []
  with (
    contextlib.suppress(tarfile.TarError, ValueError, OverflowError),
    tarfile.open(fileobj=file, mode='r:', tarinfo=_TarInfo) as tar,
  ):
    for m in tar:
      name, size = m.name or m.own_name, m.size
      if m.issparse():
        problem = 'a sparse file'
      elif m.type in WORDS:
        problem, size = WORDS[m.type], 0
      elif (m.pax_headers.get('path') or name).endswith('/'):
        problem = 'a folder'
      else:
        problem = '' if m.isreg() else f'a member of unknown type {m.type!r}'
      path = entries.normalise(name)
      found.append(entries.Entry(path, m.offset_data, size, 0, problem))
  return comparable(found)


class _TarInfo(tarfile.TarInfo):
  @classmethod
  def frombuf(cls, buf: bytes, encoding: str, errors: str) -> _TarInfo:
    found = super().frombuf(buf, encoding, errors)
    prefix = tarfile.nts(buf[345:500], encoding, errors)
    if prefix and buf[257:263] != b'ustar\0':
      found.name = found.name.removeprefix(f'{prefix}/')
    if buf[156:157] == tarfile.AREGTYPE and found.isdir():
      found.type, found.name = tarfile.AREGTYPE, f'{found.name}/'
    found.own_name = found.name
    return found


def _check_message(error: Exception) -> None:
  message = str(error)
  assert len(message) < 300
  assert message.isprintable()


class InMemory:
  """A `RandomReader` of bytes."""

  mtime_ns = 0

  def __init__(self, data: bytes):
    self.size = len(data)
    self._data = data

  def read(self, size: int, offset: int) -> bytes:
    """Returns `size` bytes at `offset`, fewer only at the end."""
    return self._data[offset : offset + size]
