"""Looks at every record of a dataset, or of older raw files, for damage."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import threading
from collections.abc import Callable, Sequence

import tqdm

from imagenet_val_tfrec.core import errors, progress, storage
from imagenet_val_tfrec.core import workers as workers_lib
from imagenet_val_tfrec.inputs import discovery
from imagenet_val_tfrec.inputs import labels as labels_lib
from imagenet_val_tfrec.records import jpeg
from imagenet_val_tfrec.verify import check_files, check_records
from imagenet_val_tfrec.verify import expected as expected_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
  """What was found.

  Attributes:
    findings: All that is wrong, file by file.
    num_files: How many files were read.
    num_records: How many records are in them, damaged ones too.
    num_bytes: Size of the files.
  """

  findings: Sequence[check_records.Finding]
  num_files: int
  num_records: int
  num_bytes: int


def verify(
  path: str | os.PathLike[str],
  *,
  decode: bool = False,
  label_file: str | None = None,
  workers: int = 0,
  max_pixels: int = jpeg.MAX_PIXELS,
  show_progress: bool = False,
) -> Report:
  """Checks all records, and that none is missing.

  Of each record: the checksums of length and data, the five fields, the label's
  range, and the stored shape against the one in the image's header. Of a
  dataset: which files there should be, their size, and the number of records in
  each. Of older files, which come with no metadata: that no number is missing,
  and that none but the last has fewer records than others.

  Args:
    path: A version folder of TFDS, or one of older raw files.
    decode: Whether every image is decoded, to find what is damaged inside.
    label_file: If given, the records must be in the order of its lines and have
      their labels, so that files cannot have changed places.
    workers: How many threads (0: one for each processor).
    max_pixels: Most pixels of an image that is decoded.
    show_progress: Whether a progress bar is shown.

  Returns:
    All that is wrong.

  Raises:
    errors.InputError: if there is nothing that can be checked at `path`, or the
      label file cannot be used.
    OSError: if there is nothing at all.

  Example:
    >>> report = verify.verify('data/imagenet_val_tfrec/imagenet2012/1.0.0')
    >>> report.num_records, report.findings
    (8, [])
  """
  workers_lib.check_workers(workers)
  expected = expected_lib.of_folder(os.fspath(path))
  labels = discovery.read_labels(label_file) if label_file else None
  if labels and len(expected.splits) > 1:
    raise errors.InputError(
      f'{expected.folder}: {len(expected.splits)} splits, and a label file '
      'does not say what is in each; verify it without one'
    )
  checks = jpeg.Checks(max_pixels=max_pixels, decode=decode)
  bar = functools.partial(tqdm.tqdm, disable=not show_progress)
  with progress.progress_bar(
    bar, images=_expected_number(expected, labels), description='Verifying'
  ) as report:
    by_path = _read_all(expected, checks, workers, report)
  findings = [
    check_records.Finding(expected.folder, what) for what in expected.problems
  ]
  for split in expected.splits:
    contents = [by_path[path] for path in split.paths]
    of_split = [finding for content in contents for finding in content.findings]
    of_split += check_files.check_numbers(split, contents)
    if not of_split:
      of_split += check_files.check_size(split, contents)
    if labels:
      of_split += check_files.check_labels(split, contents, labels)
    findings += of_split
  readable = [path for path, content in by_path.items() if content.readable]
  return Report(
    findings=findings,
    num_files=len(readable),
    num_records=sum(len(content.labels) for content in by_path.values()),
    num_bytes=sum(map(storage.size_of, readable)),
  )


def _expected_number(
  expected: expected_lib.Expected, labels: labels_lib.Labels | None
) -> int:
  """Returns how many records there should be; 0 if that is not known."""
  lengths = [
    length for split in expected.splits for length in split.lengths or ()
  ]
  return sum(lengths) or (len(labels) if labels else 0)


def _read_all(
  expected: expected_lib.Expected,
  checks: jpeg.Checks,
  workers: int,
  report: Callable[[int, int], None],
) -> dict[str, check_records.Contents]:
  """Reads and checks all records; returns what is in each file."""
  paths = [path for split in expected.splits for path in split.paths]
  by_path = {path: check_records.Contents() for path in paths}

  def check(
    batch: check_records.Batch,
  ) -> tuple[str, check_records.Contents]:
    contents = check_records.check(batch, checks, expected.num_classes)
    return batch.path, contents

  results = workers_lib.in_order(
    check,
    (batch for path in paths for batch in check_records.batches(path)),
    workers or workers_lib.num_cpus(),
    threading.Event(),
  )
  with contextlib.closing(results):
    for path, contents in results:
      by_path[path].add(contents)
      report(len(contents.labels), contents.payload_bytes)
  return by_path
