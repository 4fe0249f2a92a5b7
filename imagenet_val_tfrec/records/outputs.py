"""Files of records, in the formats that keep every example, in order."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import mmap
import os
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from imagenet_val_tfrec.core import errors, object_store, storage
from imagenet_val_tfrec.records import sums

# Of TFDS's other formats, parquet loses examples (docs/faults.py parquet), and
# the rest cannot be written here.
FILE_FORMATS = ('tfrecord', 'array_record')

_BUFFER = 1 << 20  # Bytes.


class _TfRecordOutput:
  """Writes framed records, each in parts.

  They are put together in a buffer, and hashed and written a buffer at a time,
  so that threads seldom wait for Python's lock.
  """

  def __init__(self, path: str):
    # Not bytes: it begins with a page, as `storage.create` demands.
    self._buffer = memoryview(mmap.mmap(-1, _BUFFER))
    self._filled = 0
    self._sha256 = hashlib.sha256()
    self._file = object_store.Upload(path) if storage.is_remote(path) else None
    if not self._file:
      self._fd = storage.create(path)

  def write(self, parts: Sequence[bytes]) -> None:
    for part in parts:
      start, self._filled = self._filled, self._filled + len(part)
      if self._filled < _BUFFER:
        self._buffer[start : self._filled] = part
      else:
        self._filled = start
        self._write_through(memoryview(part))

  def close(self) -> None:
    try:
      if self._file is None:
        storage.write_cached(self._fd)
      self._flush()
    finally:
      if self._file is not None:
        self._file.close()
      else:
        os.close(self._fd)

  def sha256(self) -> str:
    """Returns the SHA-256 of the file, once it is closed, as hex digits."""
    return self._sha256.hexdigest()

  def _write_through(self, part: memoryview) -> None:
    while part:
      piece = part[: _BUFFER - self._filled]
      start, self._filled = self._filled, self._filled + len(piece)
      self._buffer[start : self._filled] = piece
      part = part[len(piece) :]
      if self._filled == _BUFFER:
        self._flush()

  def _flush(self) -> None:
    rest, self._filled = self._buffer[: self._filled], 0
    self._sha256.update(rest)
    if self._file is not None:
      self._file.write(bytes(rest))
      return
    while rest:
      try:
        rest = rest[os.write(self._fd, rest) :]
      except OSError as e:
        if e.errno != errno.EINVAL:
          raise
        # This disk wants other blocks.
        storage.write_cached(self._fd)
        rest = rest[os.write(self._fd, rest) :]


class _ArrayRecordOutput:
  """Writes payloads as array_record; it frames them itself."""

  def __init__(self, path: str):
    from array_record.python import array_record_module

    if storage.is_remote(path):
      raise errors.InputError(
        "file_format is 'array_record', expected 'tfrecord' in an object "
        'store; or build here, and copy the dataset there'
      )
    self._path = path
    self._writer = array_record_module.ArrayRecordWriter(path, 'group_size:1')

  def write(self, parts: Sequence[bytes]) -> None:
    self._writer.write(b''.join(parts[1:-1]))

  def close(self) -> None:
    self._writer.close()

  def sha256(self) -> str:
    return sums.of_file(self._path)


Output: TypeAlias = '_TfRecordOutput | _ArrayRecordOutput'


@contextlib.contextmanager
def open_output(path: str, file_format: str) -> Iterator[Output]:
  """Opens a new file of records; `file_format` is one of `FILE_FORMATS`."""
  output: Output
  if file_format == 'array_record':
    output = _ArrayRecordOutput(path)
  else:
    output = _TfRecordOutput(path)
  try:
    yield output
  finally:
    output.close()
