"""Checks the records of a file in batches, each on any thread.

One thread walks the frames, which is quick, and others read the payloads; so
all of them have work, however few files there are.
"""

from __future__ import annotations

import array
import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.records import frames, jpeg, raw_files
from imagenet_val_tfrec.records import record as record_lib
from imagenet_val_tfrec.verify import array_files

UNKNOWN_LABEL = -1
MOST_LISTED = 1000  # Findings of one file: a hostile one may have millions.

_BATCH = 32  # Records.
_LARGE = 1 << 22  # Bytes of a record.
_LARGE_RECORDS = threading.Lock()
# What is wrong with a single record.
_WRONG = (frames.RecordError, jpeg.FormatError, OSError)
_Item: TypeAlias = 'frames.Frame | frames.Damage | array_files.Item'


class Finding(NamedTuple):
  """Something that is wrong.

  Attributes:
    path: Of the file, or of the folder.
    what: What was found, and what was expected.
    record: Its number in the file, from 0; None if it is about more than one.
    offset: Of the record's first byte in the file, where that is known.
    at_least: Whether there is damage before it, where more than one record may
      be lost, so that its number may be a higher one.
  """

  path: str
  what: str
  record: int | None = None
  offset: int | None = None
  at_least: bool = False

  def __str__(self) -> str:
    where = errors.shown(self.path)
    if self.record is not None:
      where += f': record {self.record}{" or later" if self.at_least else ""}'
    if self.offset is not None:
      where += f' at byte {self.offset}'
    return f'{where}: {self.what}'


class Batch(NamedTuple):
  """Records of one file, one after the other, not read yet."""

  path: str
  first: int  # Number of the first record.
  items: Sequence[_Item | None]  # None is only counted; a damage is one record.
  behind_damage: bool
  problem: OSError | None = None  # Why there are no more of them.


class Contents:
  """What was found in records of one file; grows as more are read."""

  def __init__(self, path: str, several: bool = False):
    self.path = path
    self.findings: list[Finding] = []  # The first ones.
    self.num_findings = 0
    # `UNKNOWN_LABEL` where it was not read, or that alone in a list.
    self.labels: Any = array.array('q')
    if several:
      self.labels = record_lib.Lists(self.labels)
    self.offsets = array.array('q')  # -1 where it is not known.
    self.num_read = 0
    self.image_bytes = 0  # Of the records that were read.
    self.damages: list[int] = []  # Numbers of the records that are lost.
    self.readable = True

  def num_records(self) -> int | None:
    """Returns how many there are; None if that cannot be known."""
    return len(self.labels) if self.readable and not self.damages else None

  def listed(self) -> Iterator[Finding]:
    """Yields the first findings, and how many more there are."""
    yield from self.findings
    if more := self.num_findings - len(self.findings):
      yield Finding(self.path, f'… and {more:,} more like these')

  def add(self, more: Contents) -> None:
    """Adds what was found in the records that follow."""
    self.findings += more.findings[: MOST_LISTED - len(self.findings)]
    self.num_findings += len(more.findings)
    self.labels.extend(more.labels)
    self.offsets += more.offsets
    self.num_read += more.num_read
    self.image_bytes += more.image_bytes
    self.damages += more.damages
    self.readable &= more.readable


def batches(path: str, chosen: Iterator[bool]) -> Iterator[Batch]:
  """Yields all records of a file; `chosen` tells of each if it will be read."""
  first = 0
  items: list[_Item | None] = []
  damaged = False
  problem = None
  try:
    with _open_records(path) as (_, records):
      for item in records:
        is_read = next(chosen) or isinstance(item, frames.Damage)
        items.append(item if is_read else None)
        if len(items) == _BATCH:
          yield Batch(path, first, items, damaged)
          damaged |= any(isinstance(item, frames.Damage) for item in items)
          first += len(items)
          items = []
  except OSError as e:
    problem = e
  yield Batch(path, first, items, damaged, problem)


def check(
  batch: Batch,
  *,
  checks: jpeg.Checks,
  num_classes: int | None,
  several: bool = False,
  with_names: bool = False,
) -> Contents:
  """Reads and checks the records of a batch; `several` is as in `Contents`."""
  contents = Contents(batch.path, several)
  item: Any  # They all have a `payload`.
  with contextlib.ExitStack() as stack:
    if batch.items:
      reader, _ = stack.enter_context(_open_records(batch.path))
    for number, item in enumerate(batch.items, batch.first):
      label: Any = (UNKNOWN_LABEL,) if several else UNKNOWN_LABEL
      offset = item and item.offset
      if item:
        contents.num_read += 1
        large = item.length > _LARGE
        try:
          # So that many threads need no more memory for large ones than one.
          with _LARGE_RECORDS if large else contextlib.nullcontext():
            record = record_lib.read(reader, item, checks.max_pixels, several)
            label = record.label
            contents.image_bytes += len(record.image)
            if with_names and not record.file_name:
              raise frames.RecordError("no field 'file_name'")
            record_lib.check(record, checks, num_classes)
            del record
        except _WRONG as e:
          at_least = batch.behind_damage or bool(contents.damages)
          contents.findings.append(
            Finding(batch.path, str(e), number, offset, at_least)
          )
      contents.labels.append(label)
      contents.offsets.append(-1 if offset is None else offset)
      if isinstance(item, frames.Damage):
        contents.damages.append(number)
  if batch.problem:
    contents.readable = False
    what = errors.unreadable(batch.problem)
    contents.findings.append(Finding(batch.path, what))
  return contents


def _open_records(
  path: str,
) -> contextlib.AbstractContextManager[tuple[Any, Iterator[_Item]]]:
  """Opens a file; yields what reads it, and where its records are."""
  if raw_files.ARRAY_SUFFIX in os.path.basename(path):
    return array_files.open_records(path)
  return frames.open_records(path)
