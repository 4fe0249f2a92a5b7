"""Files of records, in the formats that keep every example, in order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Protocol

from imagenet_val_tfrec import storage

# TFDS's other formats were seen to lose examples, or cannot be written here.
FILE_FORMATS = ('tfrecord', 'array_record')


class Output(Protocol):
  """A file that is being written."""

  def write(self, parts: Sequence[bytes]) -> None:
    """Writes one framed record."""

  def close(self) -> None:
    """Ends the file."""


class _ArrayRecordOutput:
  """Writes payloads as array_record; it frames them itself."""

  def __init__(self, path: str):
    from array_record.python import array_record_module

    self._writer = array_record_module.ArrayRecordWriter(path, 'group_size:1')

  def write(self, parts: Sequence[bytes]) -> None:
    self._writer.write(b''.join(parts[1:-1]))

  def close(self) -> None:
    self._writer.close()


@contextlib.contextmanager
def open_output(path: str, file_format: str) -> Iterator[Output]:
  """Opens a new file of records; `file_format` is one of `FILE_FORMATS`."""
  output: Output
  if file_format == 'array_record':
    output = _ArrayRecordOutput(path)
  else:
    output = storage.Writer(path)
  try:
    yield output
  finally:
    output.close()
