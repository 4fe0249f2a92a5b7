"""Files of records, in the formats that keep every example, in order."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from imagenet_val_tfrec.core import errors, object_store, storage
from imagenet_val_tfrec.records import sums

# Of TFDS's other formats, parquet loses examples (docs/faults.py parquet), and
# the rest cannot be written here.
FILE_FORMATS = ('tfrecord', 'array_record')

_WRITE_AT = 1 << 19  # Bytes.
_SYNC_AT = 1 << 23  # Bytes.
_MOST_PARTS = 512  # The system takes 1,024 (IOV_MAX); a record has 5.


class _TfRecordOutput:
  """Writes framed records, each in parts; a byte goes to the system once.

  A few images go in each call: more of them than fit in the processor's cache
  would be slower again.
  """

  def __init__(self, path: str):
    self._parts: list[bytes] = []
    self._waiting = 0
    self._sha256 = hashlib.sha256()
    self._written = self._synced = 0
    self._file = object_store.Upload(path) if storage.is_remote(path) else None
    if not self._file:
      flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
      self._fd = os.open(path, flags, 0o666)

  def write(self, parts: Sequence[bytes]) -> None:
    self._parts += parts
    self._waiting += sum(map(len, parts))
    if self._waiting >= _WRITE_AT or len(self._parts) >= _MOST_PARTS:
      self._flush()

  def close(self) -> None:
    try:
      self._flush()
    finally:
      if self._file is not None:
        self._file.close()
      else:
        os.close(self._fd)

  def sha256(self) -> str:
    """Returns the SHA-256 of the file, once it is closed, as hex digits."""
    return self._sha256.hexdigest()

  def _flush(self) -> None:
    parts, waiting = self._parts, self._waiting
    self._parts, self._waiting = [], 0
    for part in parts:
      self._sha256.update(part)
    if self._file is not None:
      self._file.write(b''.join(parts))
      return
    if parts and (done := os.writev(self._fd, parts)) < waiting:
      rest = memoryview(b''.join(parts))[done:]  # A full disk, or a signal.
      while rest:
        rest = rest[os.write(self._fd, rest) :]
    self._written += waiting
    if (size := self._written - self._synced) >= _SYNC_AT:
      storage.begin_to_sync(self._fd, self._synced, size)
      self._synced = self._written


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
