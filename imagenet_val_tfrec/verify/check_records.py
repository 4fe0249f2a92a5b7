"""Checks the records of a file in batches, each on any thread.

One thread walks the frames, which is quick, and others read the payloads; so
all of them have work, however few files there are.
"""

from __future__ import annotations

import array
import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from imagenet_val_tfrec.core import storage
from imagenet_val_tfrec.records import frames, jpeg
from imagenet_val_tfrec.records import record as record_lib

UNKNOWN_LABEL = -1

_BATCH = 32  # Records.
_LARGE = 1 << 22  # Bytes of a record.
_LARGE_RECORDS = threading.Lock()
# What is wrong with a single record.
_WRONG = (frames.RecordError, jpeg.JpegError, OSError)


class Finding(NamedTuple):
  """Something that is wrong.

  Attributes:
    path: Of the file, or of the folder.
    what: What was found, and what was expected.
    record: Its number in the file, from 0; None if it is about more than one.
    offset: Of the record's first byte in the file.
    at_least: Whether there is damage before it, where more than one record may
      be lost, so that its number may be a higher one.
  """

  path: str
  what: str
  record: int | None = None
  offset: int | None = None
  at_least: bool = False

  def __str__(self) -> str:
    if self.record is None:
      return f'{self.path}: {self.what}'
    number = f'{self.record}{" or later" if self.at_least else ""}'
    return f'{self.path}: record {number} at byte {self.offset}: {self.what}'


class Batch(NamedTuple):
  """Records of one file, one after the other, not read yet.

  Attributes:
    path: Of the file.
    first: Number of the first record.
    items: Where they are; a damage counts as one record.
    problem: Why there are no more of them, if the file cannot be read.
    behind_damage: Whether there is damage before the first of them.
  """

  path: str
  first: int
  items: Sequence[frames.Frame | frames.Damage]
  problem: str = ''
  behind_damage: bool = False


@dataclasses.dataclass(slots=True)
class Contents:
  """What was found in records of one file; grows as more are read.

  Attributes:
    findings: What is wrong with them.
    labels: One for each record; `UNKNOWN_LABEL` if it cannot be read.
    offsets: One for each record.
    payload_bytes: Size of the records without their frames.
    damages: Numbers of those that are lost, where the frames are damaged.
    readable: Whether the file can be read.
  """

  findings: list[Finding] = dataclasses.field(default_factory=list)
  labels: array.array[int] = dataclasses.field(
    default_factory=lambda: array.array('q')
  )
  offsets: array.array[int] = dataclasses.field(
    default_factory=lambda: array.array('q')
  )
  payload_bytes: int = 0
  damages: list[int] = dataclasses.field(default_factory=list)
  readable: bool = True

  def add(self, more: Contents) -> None:
    """Adds what was found in the records that follow."""
    self.findings += more.findings
    self.labels += more.labels
    self.offsets += more.offsets
    self.payload_bytes += more.payload_bytes
    self.damages += more.damages
    self.readable &= more.readable


def batches(path: str) -> Iterator[Batch]:
  """Yields all records of a file, without reading them."""
  first = 0
  items: list[frames.Frame | frames.Damage] = []
  problem = ''
  damaged = False
  try:
    with storage.open_random(path) as reader:
      for item in frames.walk(reader):
        items.append(item)
        if len(items) == _BATCH:
          yield Batch(path, first, items, '', damaged)
          damaged |= any(isinstance(item, frames.Damage) for item in items)
          first += len(items)
          items = []
  except FileNotFoundError:
    problem = 'the file is missing'
  except OSError as e:
    problem = f'the file cannot be read: {e.strerror or e}'
  yield Batch(path, first, items, problem, damaged)


def check(
  batch: Batch, checks: jpeg.Checks, num_classes: int | None
) -> Contents:
  """Reads and checks the records of a batch.

  Args:
    batch: Where they are.
    checks: What is refused in their images.
    num_classes: Labels must be below this; None if that is not known.
  """
  contents = Contents()
  if batch.items:
    with storage.open_random(batch.path) as reader:
      for number, item in enumerate(batch.items, batch.first):
        label = UNKNOWN_LABEL
        large = isinstance(item, frames.Frame) and item.length > _LARGE
        try:
          # So that many threads need no more memory for these than one.
          with _LARGE_RECORDS if large else contextlib.nullcontext():
            record = _read(reader, item, checks.max_pixels)
            label = record.label
            record_lib.check(record, checks, num_classes)
            del record
        except _WRONG as e:
          at_least = batch.behind_damage or bool(contents.damages)
          contents.findings.append(
            Finding(batch.path, str(e), number, item.offset, at_least)
          )
        contents.labels.append(label)
        contents.offsets.append(item.offset)
        if isinstance(item, frames.Frame):
          contents.payload_bytes += item.length
        else:
          contents.damages.append(number)
  if batch.problem:
    contents.readable = False
    contents.findings.append(Finding(batch.path, batch.problem))
  return contents


def _read(
  reader: storage.RandomReader,
  item: frames.Frame | frames.Damage,
  max_pixels: int,
) -> record_lib.Record:
  if isinstance(item, frames.Damage):
    raise frames.RecordError(
      f'{item.what}; {item.size} bytes are passed over, to the next record or '
      'the end of the file'
    )
  return record_lib.read(reader, item, max_pixels)
