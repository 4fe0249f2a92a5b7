"""Checks the records of a file, some at a time, so that any thread can.

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

from imagenet_val_tfrec import (
  decoding,
  frames,
  inspection,
  jpeg,
  other_images,
  records,
  storage,
)

UNKNOWN_LABEL = -1
MAX_LABEL = 2**31 - 1  # `legacy.parser` returns int32.

_BATCH = 32  # Records.
_LARGE = 1 << 22  # Bytes of a record.
_LARGE_RECORDS = threading.Lock()
# What is wrong with a single record.
_WRONG = (
  records.RecordError,
  jpeg.JpegError,
  other_images.OtherImageError,
  OSError,
)


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checks:
  """What is asked of a record, besides its checksums and fields.

  Attributes:
    num_classes: Labels are below; None if that is not known.
    only_jpeg: Whether other images are wrong, or only counted.
    decode: Whether images are decoded.
    max_pixels: Most pixels of an image that is decoded.
  """

  num_classes: int | None
  only_jpeg: bool
  decode: bool
  max_pixels: int = jpeg.MAX_PIXELS


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
    num_others: How many hold an image that is no JPEG, and that is fine.
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
  num_others: int = 0
  damages: list[int] = dataclasses.field(default_factory=list)
  readable: bool = True

  def add(self, more: Contents) -> None:
    """Takes in what was found in the records behind."""
    self.findings += more.findings
    self.labels += more.labels
    self.offsets += more.offsets
    self.payload_bytes += more.payload_bytes
    self.num_others += more.num_others
    self.damages += more.damages
    self.readable &= more.readable


def max_length(max_pixels: int = jpeg.MAX_PIXELS) -> int:
  """Returns the most bytes of a record whose image is not too large."""
  return max(max_pixels, jpeg.MAX_PIXELS) + records.MAX_OVERHEAD


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


def check(batch: Batch, checks: Checks) -> Contents:
  """Reads and checks the records of a batch."""
  contents = Contents()
  if batch.items:
    with storage.open_random(batch.path) as reader:
      for number, item in enumerate(batch.items, batch.first):
        label = UNKNOWN_LABEL
        large = isinstance(item, frames.Frame) and item.length > _LARGE
        try:
          # So that many threads need no more memory for these than one.
          with _LARGE_RECORDS if large else contextlib.nullcontext():
            record = _read(reader, item, checks)
            label = record.label
            contents.num_others += not _check(record, checks)
            del record
        except _WRONG as e:
          at_least = batch.behind_damage or bool(contents.damages)
          contents.findings.append(
            Finding(batch.path, str(e), number, item.offset, at_least)
          )
        if isinstance(item, frames.Damage):
          contents.damages.append(number)
        contents.labels.append(label)
        contents.offsets.append(item.offset)
        if isinstance(item, frames.Frame):
          contents.payload_bytes += item.length
  if batch.problem:
    contents.readable = False
    contents.findings.append(Finding(batch.path, batch.problem))
  return contents


def _read(
  reader: storage.RandomReader,
  item: frames.Frame | frames.Damage,
  checks: Checks,
) -> records.Record:
  if isinstance(item, frames.Damage):
    raise records.RecordError(
      f'{item.what}; {item.size} bytes are passed over, to the next record or '
      'the end of the file'
    )
  return records.parse(item.payload(reader, max_length(checks.max_pixels)))


def _check(record: records.Record, checks: Checks) -> bool:
  """Returns whether the image is a JPEG; raises if the record is wrong."""
  most = MAX_LABEL if checks.num_classes is None else checks.num_classes - 1
  if not 0 <= record.label <= most:
    raise records.RecordError(
      f'label {record.label} is out of range, expected 0..{most}'
    )
  if not checks.only_jpeg and other_images.is_other(record.image):
    inspection.check_size(record, *other_images.read_size(record.image))
    if checks.decode:
      other_images.check_decodes(record.image, checks.max_pixels)
    return False
  shape = inspection.check_shape(record)
  if checks.decode:
    if shape.height * shape.width > checks.max_pixels:
      raise jpeg.JpegError(
        f'a JPEG of {shape.height}×{shape.width} pixels is not decoded, as the '
        f'limit is {checks.max_pixels:,} (--max_pixels raises it)'
      )
    decoding.check_decodes(record.image, shape, checks.max_pixels)
  return True
