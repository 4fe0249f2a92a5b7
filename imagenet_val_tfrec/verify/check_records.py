"""Checks the records of a file in batches, each on any thread.

One thread walks the frames, which is quick, and others read the payloads; so
all of them have work, however few files there are.
"""

from __future__ import annotations

import array
import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.records import frames, jpeg
from imagenet_val_tfrec.records import record as record_lib
from imagenet_val_tfrec.verify import array_files

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


def unreadable(path: str, error: OSError) -> Finding:
  """Returns the finding that a file cannot be read."""
  if isinstance(error, FileNotFoundError):
    return Finding(path, 'the file is missing')
  return Finding(path, f'the file cannot be read: {error.strerror or error}')


class Unread(NamedTuple):
  """A record that is only counted, as it is not in the sample."""

  offset: int | None
  length: int


_Item: TypeAlias = 'frames.Frame | frames.Damage | array_files.Item | Unread'


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
  items: Sequence[_Item]
  problem: Finding | None = None
  behind_damage: bool = False


@dataclasses.dataclass(slots=True)
class Contents:
  """What was found in records of one file; grows as more are read.

  Attributes:
    findings: What is wrong with them.
    labels: One for each record; `UNKNOWN_LABEL` if it was not read.
    offsets: One for each record; -1 if it is not known.
    num_read: How many records were read.
    image_bytes: Size of the images in these.
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
  num_read: int = 0
  image_bytes: int = 0
  damages: list[int] = dataclasses.field(default_factory=list)
  readable: bool = True

  def place(self, number: int) -> tuple[int, int | None]:
    """Returns a record's number again, and its offset, for a `Finding`."""
    offset = self.offsets[number]
    return number, None if offset < 0 else offset

  def add(self, more: Contents) -> None:
    """Adds what was found in the records that follow."""
    self.findings += more.findings
    self.labels += more.labels
    self.offsets += more.offsets
    self.num_read += more.num_read
    self.image_bytes += more.image_bytes
    self.damages += more.damages
    self.readable &= more.readable


def batches(path: str, chosen: Iterator[bool]) -> Iterator[Batch]:
  """Yields all records of a file, without reading them.

  Args:
    path: Of the file.
    chosen: Tells of one record after the other whether it will be read.
  """
  first = 0
  items: list[_Item] = []
  problem = None
  damaged = False
  open_file, walk = _format(path)
  try:
    with open_file(path) as reader:
      for item in walk(reader):
        if not next(chosen) and not isinstance(item, frames.Damage):
          item = Unread(item.offset, item.length)
        items.append(item)
        if len(items) == _BATCH:
          yield Batch(path, first, items, None, damaged)
          damaged |= any(isinstance(item, frames.Damage) for item in items)
          first += len(items)
          items = []
  except OSError as e:
    problem = unreadable(path, e)
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
  with contextlib.ExitStack() as stack:
    if batch.items:
      reader = stack.enter_context(_format(batch.path)[0](batch.path))
    for number, item in enumerate(batch.items, batch.first):
      label = UNKNOWN_LABEL
      try:
        if not isinstance(item, Unread):
          contents.num_read += 1
          # So that many threads need no more memory for large ones than one.
          large = not isinstance(item, frames.Damage) and item.length > _LARGE
          with _LARGE_RECORDS if large else contextlib.nullcontext():
            record = _read(reader, item, checks.max_pixels)
            label = record.label
            contents.image_bytes += len(record.image)
            record_lib.check(record, checks, num_classes)
            del record
      except _WRONG as e:
        at_least = batch.behind_damage or bool(contents.damages)
        contents.findings.append(
          Finding(batch.path, str(e), number, item.offset, at_least)
        )
      contents.labels.append(label)
      contents.offsets.append(-1 if item.offset is None else item.offset)
      if isinstance(item, frames.Damage):
        contents.damages.append(number)
  if batch.problem:
    contents.readable = False
    contents.findings.append(batch.problem)
  return contents


def _format(path: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
  """Returns what opens such a file, and what yields its records then."""
  if array_files.is_one(path):
    return array_files.open_file, array_files.walk
  return storage.open_random, frames.walk


def _read(reader: Any, item: Any, max_pixels: int) -> record_lib.Record:
  if isinstance(item, frames.Damage):
    raise frames.RecordError(
      f'{item.what}; {item.size} bytes are passed over, to the next record or '
      'the end of the file'
    )
  return record_lib.read(reader, item, max_pixels)
