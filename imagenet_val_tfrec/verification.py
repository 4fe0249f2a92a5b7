"""Looks at every record of a dataset, or of older raw files, for damage."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import tqdm

from imagenet_val_tfrec import (
  checking,
  completeness,
  discovery,
  errors,
  inventory,
  jpeg,
  progress,
  runners,
  storage,
)
from imagenet_val_tfrec import labels as labels_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
  """What was found.

  Attributes:
    findings: All that is wrong, file by file.
    num_files: How many files were read.
    num_records: How many records are in them, damaged ones too.
    num_bytes: Size of the files.
    num_others: How many records of older files hold a PNG, GIF or BMP, which
      `legacy.parser` decodes too.
  """

  findings: Sequence[checking.Finding]
  num_files: int
  num_records: int
  num_bytes: int
  num_others: int


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
  """
  runners.check_workers(workers)
  stock = inventory.take(os.fspath(path))
  labels = discovery.read_labels(label_file) if label_file else None
  if labels and len(stock.splits) > 1:
    raise errors.InputError(
      f'{stock.folder}: {len(stock.splits)} splits, and a label file does not '
      'say what is in each; verify it without one'
    )
  checks = checking.Checks(
    num_classes=stock.num_classes,
    only_jpeg=all(split.of_tfds for split in stock.splits),
    decode=decode,
    max_pixels=max_pixels,
  )
  bar = functools.partial(tqdm.tqdm, disable=not show_progress)
  with progress.progress_bar(
    bar, images=_expected_number(stock, labels), description='Verifying'
  ) as report:
    found = _read_all(stock, checks, workers, report)
  findings = [checking.Finding(stock.folder, what) for what in stock.problems]
  for split in stock.splits:
    contents = [found[path] for path in split.paths]
    of_split = [finding for content in contents for finding in content.findings]
    of_split += completeness.check_numbers(split, contents)
    if not of_split:
      of_split += completeness.check_size(split, contents)
    if labels:
      of_split += completeness.check_labels(split, contents, labels)
    findings += of_split
  readable = [path for path, content in found.items() if content.readable]
  return Report(
    findings=findings,
    num_files=len(readable),
    num_records=sum(len(content.labels) for content in found.values()),
    num_bytes=sum(map(storage.size_of, readable)),
    num_others=sum(content.num_others for content in found.values()),
  )


def _expected_number(
  stock: inventory.Inventory, labels: labels_lib.Labels | None
) -> int:
  """Returns how many records there should be; 0 if that is not known."""
  lengths = [length for split in stock.splits for length in split.lengths or ()]
  return sum(lengths) or (len(labels) if labels else 0)


def _read_all(
  stock: inventory.Inventory,
  checks: checking.Checks,
  workers: int,
  report: Callable[[int, int], None],
) -> dict[str, checking.Contents]:
  """Reads and checks all records; returns what is in each file."""
  paths = [path for split in stock.splits for path in split.paths]
  found = {path: checking.Contents() for path in paths}
  batches = (batch for path in paths for batch in checking.batches(path))
  for path, contents in _in_order(checks, batches, workers):
    found[path].add(contents)
    report(len(contents.labels), contents.payload_bytes)
  return found


def _in_order(
  checks: checking.Checks, batches: Iterable[checking.Batch], workers: int
) -> Iterator[tuple[str, checking.Contents]]:
  """Checks a few batches at once; yields them as they come, with their path."""
  workers = workers or runners.num_cpus()
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    running: collections.deque[
      tuple[str, concurrent.futures.Future[checking.Contents]]
    ] = collections.deque()
    for batch in batches:
      future = pool.submit(checking.check, batch, checks)
      running.append((batch.path, future))
      if len(running) > 2 * workers:
        path, future = running.popleft()
        yield path, future.result()
    for path, future in running:
      yield path, future.result()
