"""Checks the records of a file, some at a time, so that any thread can.

One thread walks the frames, which is quick, and others read the payloads; so
all of them have work, however few files there are.
"""

from __future__ import annotations

import array
import dataclasses
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

_BATCH = 32  # Records.
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
  """

  path: str
  what: str
  record: int | None = None
  offset: int | None = None

  def __str__(self) -> str:
    if self.record is None:
      return f'{self.path}: {self.what}'
    return (
      f'{self.path}: record {self.record} at byte {self.offset}: {self.what}'
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Checks:
  """What is asked of a record, besides its checksums and fields.

  Attributes:
    num_classes: Labels are below; None if that is not known.
    only_jpeg: Whether other images are wrong, or only counted.
    decode: Whether images are decoded.
  """

  num_classes: int | None
  only_jpeg: bool
  decode: bool


class Batch(NamedTuple):
  """Records of one file, one after the other, not read yet.

  Attributes:
    path: Of the file.
    first: Number of the first record.
    items: Where they are; a damage counts as one record.
    problem: Why there are no more of them, if the file cannot be read.
  """

  path: str
  first: int
  items: Sequence[frames.Frame | frames.Damage]
  problem: str = ''


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
  readable: bool = True

  def add(self, more: Contents) -> None:
    """Takes in what was found in the records behind."""
    self.findings += more.findings
    self.labels += more.labels
    self.offsets += more.offsets
    self.payload_bytes += more.payload_bytes
    self.num_others += more.num_others
    self.readable &= more.readable


def batches(path: str) -> Iterator[Batch]:
  """Yields all records of a file, without reading them."""
  first = 0
  items: list[frames.Frame | frames.Damage] = []
  problem = ''
  try:
    with storage.open_random(path) as reader:
      for item in frames.walk(reader):
        items.append(item)
        if len(items) == _BATCH:
          yield Batch(path, first, items)
          first += len(items)
          items = []
  except FileNotFoundError:
    problem = 'the file is missing'
  except OSError as e:
    problem = f'the file cannot be read: {e.strerror or e}'
  yield Batch(path, first, items, problem)


def check(batch: Batch, checks: Checks) -> Contents:
  """Reads and checks the records of a batch."""
  contents = Contents()
  if batch.items:
    with storage.open_random(batch.path) as reader:
      for number, item in enumerate(batch.items, batch.first):
        label = UNKNOWN_LABEL
        try:
          record = _read(reader, item)
          label = record.label
          contents.num_others += not _check(record, checks)
        except _WRONG as e:
          contents.findings.append(
            Finding(batch.path, str(e), number, item.offset)
          )
        contents.labels.append(label)
        contents.offsets.append(item.offset)
        if isinstance(item, frames.Frame):
          contents.payload_bytes += item.length
  if batch.problem:
    contents.readable = False
    contents.findings.append(Finding(batch.path, batch.problem))
  return contents


def _read(
  reader: storage.RandomReader, item: frames.Frame | frames.Damage
) -> records.Record:
  if isinstance(item, frames.Damage):
    raise records.RecordError(
      f'{item.what}; {item.size} bytes are passed over, to the next record or '
      'the end of the file'
    )
  return records.parse(item.payload(reader))


def _check(record: records.Record, checks: Checks) -> bool:
  """Returns whether the image is a JPEG; raises if the record is wrong."""
  if record.label < 0 or (
    checks.num_classes is not None and record.label >= checks.num_classes
  ):
    most = '' if checks.num_classes is None else checks.num_classes - 1
    raise records.RecordError(
      f'label {record.label} is out of range, expected 0..{most}'
    )
  if not checks.only_jpeg and other_images.is_other(record.image):
    inspection.check_size(record, *other_images.read_size(record.image))
    if checks.decode:
      other_images.check_decodes(record.image)
    return False
  shape = inspection.check_shape(record)
  if checks.decode:
    decoding.check_decodes(record.image, shape)
  return True
