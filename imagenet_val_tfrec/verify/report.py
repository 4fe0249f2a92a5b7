"""Looks at every record of a dataset, or of older raw files, for damage."""

from __future__ import annotations

import contextlib
import dataclasses
import fractions
import functools
import itertools
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence

import tqdm

from imagenet_val_tfrec.core import errors, processes, progress, storage
from imagenet_val_tfrec.core import workers as workers_lib
from imagenet_val_tfrec.inputs import discovery
from imagenet_val_tfrec.records import jpeg, metadata, raw_files, sums
from imagenet_val_tfrec.records import record as record_lib
from imagenet_val_tfrec.verify import check_files, check_records, check_sums
from imagenet_val_tfrec.verify import expected as expected_lib

_ALL = fractions.Fraction(1)
_SAMPLE = re.compile(r'([0-9]{1,15}(?:\.[0-9]{1,15})?)(%?)')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
  """What was found.

  Attributes:
    findings: All that is wrong, file by file; of the records of one file the
      first 1,000.
    num_files: How many files were read: of records, or, by `sums_only`, all.
    num_records: How many records are in them, damaged ones too.
    num_read: How many of those were read.
    num_bytes: Size of the files.
    num_faults: How much is wrong, listed or not.
    notes: What could not be seen, or was not looked at.
  """

  findings: Sequence[check_records.Finding]
  num_files: int
  num_records: int = 0
  num_read: int = 0
  num_bytes: int
  num_faults: int = 0
  notes: Sequence[str] = ()


# Bytes of the smallest image and its fields.
_LEAST_RECORD = 200


def verify(
  path: str | os.PathLike[str],
  *,
  decode: bool = False,
  label_file: str | None = None,
  workers: int = 0,
  max_pixels: int = jpeg.MAX_PIXELS,
  sums_only: bool = False,
  sample: str | None = None,
  show_progress: bool = False,
) -> Report:
  """Checks all records, and that none is missing or another one.

  Of each file: whether it is the one that `SHA256SUMS` names, if that is there.
  Of each record: the checksums of length and data, the five fields, the label's
  range, and the stored shape against the one in the image's header. Of a
  dataset: its metadata, which files there should be, their size, and the number
  of records in each. Of older files, which come with no metadata: that no
  number is missing, and that none but the last has fewer records than others.

  Args:
    path: A version folder of TFDS, or one of older raw files.
    decode: Whether every image is decoded, to find what is damaged inside.
    label_file: If given, the records must be in the order of its lines and have
      their labels, so that files cannot have changed places.
    workers: How many threads, or processes where there is much to do (0: the
      number that is fastest).
    max_pixels: Most pixels of an image that is decoded.
    sums_only: Whether nothing is looked at but `SHA256SUMS`: the quick check
      after a copy.
    sample: Reads a part of the records alone, such as `'5%'`, or about that
      many, such as `'1000'`: always the same ones, spread over all. All are
      counted; files of records are not compared with `SHA256SUMS`.
    show_progress: Whether a progress bar is shown.

  Returns:
    All that is wrong.

  Raises:
    errors.InputError: if there is nothing that can be checked at `path`, or the
      label file or an option cannot be used.
    OSError: if there is nothing at all.

  Example:
    >>> report = verify.verify('data/imagenet_val_tfrec/imagenet2012/1.0.0')
    >>> report.num_records, report.findings
    (8, [])
  """
  workers_lib.check_workers(workers)
  if max_pixels < 1:
    raise errors.InputError(f'max_pixels is {max_pixels}, expected 1 or more')
  folder = os.fspath(path)
  known, findings = check_sums.read(folder)
  notes = []
  if sums_only:
    if decode or label_file or sample:
      raise errors.InputError(
        'sums_only looks at no record, so decode, label_file and sample have '
        'no meaning; leave it out, or them'
      )
    if known is None and not findings:
      raise errors.FileError(
        os.path.join(folder, sums.FILENAME),
        'there is no such file, so sums_only checks nothing; leave it out',
      )
    expected = expected_lib.Expected(folder=folder)
    notes.append(f'{sums.FILENAME} alone: no record was looked at')
  else:
    expected = expected_lib.of_folder(folder, known or {})
  labels = discovery.read_labels(label_file) if label_file else None
  if labels and (len(expected.splits) > 1 or metadata.is_shuffled(folder)):
    raise errors.InputError(
      f'{folder}: several splits, or one that was shuffled, which do not stand '
      'in the order of a label file; verify it without one'
    )
  if labels and labels.several != expected.several:
    found, wanted = map(
      record_lib.number_of_labels, (labels.several, expected.several)
    )
    raise errors.InputError(
      f'{labels.where(0)}: {found} for an image, expected {wanted}, as in '
      f'{folder}'
    )
  part = _part(sample, expected)
  findings += expected.problems
  hashed = [
    name
    for name in known or ()
    if part == _ALL or not raw_files.is_record_file(name)
  ]
  total = _num_records(expected) or (len(labels) if labels else 0)
  with (
    check_sums.hashing(
      folder, hashed, workers or workers_lib.num_cpus()
    ) as hashes,
    progress.progress_bar(
      functools.partial(tqdm.tqdm, disable=not show_progress),
      images=len(hashed) if sums_only else total,
      unit='files' if sums_only else 'images',
      description='Verifying',
    ) as report,
  ):
    checks = jpeg.Checks(max_pixels=max_pixels, decode=decode)
    by_path = _read_all(expected, checks, workers, _spread(part), report)
    for split in expected.splits:
      contents = [by_path[path] for path in split.paths]
      findings += check_files.check(expected, split, contents, labels)
    if known is not None:
      told = {finding.path for finding in findings}
      count = report if sums_only else lambda number, size: None
      findings += check_sums.compare(folder, known, hashed, hashes, told, count)
  if sums_only:
    read = [
      os.path.join(folder, name)
      for name, future in hashes.items()
      if not future.exception()
    ]
  else:
    read = [path for path, content in by_path.items() if content.readable]
  num_records = sum(len(content.labels) for content in by_path.values())
  num_read = sum(content.num_read for content in by_path.values())
  if part < _ALL:
    notes.append(f'a sample: {num_read:,} of {num_records:,} records were read')
  if not storage.exists(os.path.join(folder, sums.FILENAME)):
    notes.append(
      f'no {sums.FILENAME}: changes that keep all checksums cannot be seen'
    )
  unlisted = [c.num_findings - len(c.findings) for c in by_path.values()]
  return Report(
    findings=findings,
    num_faults=len(findings) + sum(number - 1 for number in unlisted if number),
    num_files=len(read),
    num_records=num_records,
    num_read=num_read,
    num_bytes=sum(map(storage.size_of, read)),
    notes=notes,
  )


def _num_records(expected: expected_lib.Expected) -> int:
  """Returns how many records there should be; 0 if that is not known."""
  return sum(sum(split.lengths or ()) for split in expected.splits)


def _part(
  sample: str | None, expected: expected_lib.Expected
) -> fractions.Fraction:
  """Returns which part is to be read; InputError if that is not in `sample`."""
  if sample is None:
    return _ALL
  match = _SAMPLE.fullmatch(sample)
  number = fractions.Fraction(match[1]) if match else fractions.Fraction()
  if not match or not number or (match[2] and number > 100):
    raise errors.InputError(
      f'sample is {errors.quoted(sample)}, expected a part such as 5%, or a '
      'number of records such as 1000'
    )
  if match[2]:
    return number / 100
  total = _num_records(expected) or sum(
    len(batch.items)
    for split in expected.splits
    for path in split.paths
    for batch in check_records.batches(path, itertools.repeat(False))
  )
  return min(number / max(total, 1), _ALL)


def _spread(part: fractions.Fraction) -> Iterator[bool]:
  """Yields whether a record is read, for one after the other."""
  for i in itertools.count():
    yield i * part.numerator % part.denominator < part.numerator


def _read_all(
  expected: expected_lib.Expected,
  checks: jpeg.Checks,
  workers: int,
  chosen: Iterator[bool],
  report: Callable[[int, int], None],
) -> dict[str, check_records.Contents]:
  """Reads and checks all records; returns what is in each file, by its path.

  On processes where they pay off, else on threads: on one, unless it would wait
  for a store, or decodes, as while it checks headers it holds Python's lock.
  """
  paths = [path for split in expected.splits for path in split.paths]
  by_path = {
    path: check_records.Contents(path, expected.several) for path in paths
  }
  check: Callable[[check_records.Batch], check_records.Contents]
  check = functools.partial(
    check_records.check,
    checks=checks,
    num_classes=expected.num_classes,
    several=expected.several,
    with_names=expected.with_names,
  )
  remote = storage.is_remote(expected.folder)
  apart = False
  if not remote:
    size = sum(map(storage.size_of, filter(storage.exists, paths)))
    # No more than fit in: the metadata may promise any number.
    items = min(_num_records(expected), size // _LEAST_RECORD)
    apart = workers_lib.pays_off(items, size)
  if not workers:
    many = apart or remote or checks.decode
    workers = workers_lib.num_cpus() if many else 1
  with contextlib.ExitStack() as stack:
    if apart and workers > 1:
      calls = processes.Processes(check)
      check = stack.enter_context(contextlib.closing(calls))
    results = workers_lib.in_order(
      check,
      (b for path in paths for b in check_records.batches(path, chosen)),
      workers,
      threading.Event(),
    )
    for contents in stack.enter_context(contextlib.closing(results)):
      by_path[contents.path].add(contents)
      report(len(contents.labels), contents.image_bytes)
  return by_path
