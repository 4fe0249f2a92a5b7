"""Records in files of the format array_record.

They are read by the package `array_record`, which TFDS installs on Linux; it
finds damage by the hashes in a file.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.records import frames

_NOTHING_AHEAD = 'readahead_buffer_size:0,max_parallelism:0'


class Item(NamedTuple):
  """One record in its file, in place of a `frames.Frame`; numbered from 0."""

  number: int
  offset: None = None  # Neither is known.
  length: int = 0

  def payload(self, reader: Any, max_length: int) -> bytes:
    """Reads the record; see `frames.Frame`."""
    try:
      payload: bytes = reader.read([self.number])[0]
    except RuntimeError as e:
      raise frames.RecordError(_words(e)) from e
    if len(payload) > max_length:
      raise frames.RecordError(f'a record of {len(payload):,} bytes')
    return payload


@contextlib.contextmanager
def open_records(path: str) -> Iterator[tuple[Any, Iterator[Item]]]:
  """Opens a file; yields its `ArrayRecordReader`, and where its records are.

  Raises InputError if it is remote, or the package is not installed.
  """
  if storage.is_remote(path):
    raise errors.FileError(path, 'array_record is read from local disks alone')
  try:
    from array_record.python import array_record_module
  except ImportError as e:
    raise errors.FileError(
      path, f'{e}; expected the package array_record: pip install array_record'
    ) from e
  with storage.open_random(path):  # Refuses what is not a file.
    pass
  reader = array_record_module.ArrayRecordReader(path, _NOTHING_AHEAD)
  try:
    if not reader.ok():
      reader.close()  # Says why.
    yield reader, map(Item, range(reader.num_records()))
  except RuntimeError as e:
    raise OSError(_words(e)) from e


def _words(error: RuntimeError) -> str:
  return f'array_record says: {str(error).partition(";")[0]}'
