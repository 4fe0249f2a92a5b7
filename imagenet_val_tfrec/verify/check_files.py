"""Whether files hold as many records as they should, in the right order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import imagenet
from imagenet_val_tfrec.inputs import labels as labels_lib
from imagenet_val_tfrec.records import counting, metadata
from imagenet_val_tfrec.records import record as record_lib
from imagenet_val_tfrec.verify.check_records import (
  MOST_LISTED,
  UNKNOWN_LABEL,
  Contents,
  Finding,
)
from imagenet_val_tfrec.verify.expected import Expected

_FIRST_FEW = 10  # Wrong labels, where most are: then it is the file.


def check(
  expected: Expected,
  split: metadata.Split,
  contents: Sequence[Contents],
  labels: labels_lib.Labels | None,
) -> list[Finding]:
  """Returns all that is wrong with the files of a split, and their records."""
  findings = [finding for content in contents for finding in content.listed()]
  numbers = [content.num_records() for content in contents]
  findings += _check_numbers(expected, split, numbers)
  if not findings and split.num_bytes is not None:  # So all are there.
    number = sum(len(content.labels) for content in contents)
    if what := counting.size_problem(split.paths, split.num_bytes, number):
      findings.append(Finding(expected.folder, what))
  if labels and contents:
    findings += _check_labels(expected, split, contents, numbers, labels)
  return findings


def _check_numbers(
  expected: Expected, split: metadata.Split, numbers: Sequence[int | None]
) -> Iterator[Finding]:
  """Yields files that have too few records, or too many."""
  if not expected.of_tfds:
    for index, what in counting.unequal(numbers):
      yield Finding(split.paths[index], what)
    return
  lengths = split.lengths or numbers
  for path, number, length in zip(split.paths, numbers, lengths, strict=True):
    if number not in (None, length):
      what = f'{number:,} records, expected {length:,} as TFDS says'
      yield Finding(path, what)


def _check_labels(
  expected: Expected,
  split: metadata.Split,
  contents: Sequence[Contents],
  numbers: Sequence[int | None],
  labels: labels_lib.Labels,
) -> Iterator[Finding]:
  """Yields records whose labels are not those of the label file, in order.

  TFDS's dataset may be made of its first lines.
  """
  total = sum(number or 0 for number in numbers)
  if None not in numbers and (
    total > len(labels) or (total < len(labels) and not expected.of_tfds)
  ):
    yield Finding(
      expected.folder,
      f'{total:,} records, expected {len(labels):,} as in {labels.path}',
    )
  lengths: Sequence[int | None] = split.lengths or numbers
  if not expected.of_tfds:
    lengths = [counting.usual_length(numbers)] * len(numbers)
  known_lengths = [length for length in lengths[:-1] if length is not None]
  if len(known_lengths) < len(contents) - 1:
    return  # So nobody knows where the last file begins.
  starts = itertools.accumulate(known_lengths, initial=0)
  for content, start in zip(contents, starts, strict=True):
    # After damage nobody knows which record is which.
    sure = min(content.damages, default=len(content.labels))
    known = [
      i
      for i in range(sure)
      if record_lib.each(content.labels[i]) != (UNKNOWN_LABEL,)
    ]
    wrong = [
      i
      for i in known
      if start + i < len(labels)
      and content.labels[i] != labels.labels[start + i]
    ]
    most_are = len(wrong) > min(len(known) // 2, MOST_LISTED)
    for i in wrong[:_FIRST_FEW] if most_are else wrong:
      at = start + i
      offset = content.offsets[i]
      is_official = imagenet.is_official(labels.names[at])
      yield Finding(
        content.path,
        f'label {_shown(content.labels[i], is_official)}, expected '
        f'{_shown(labels.labels[at], is_official)} as in '
        f'{labels.where(at)} ({errors.quoted(labels.names[at])})',
        record=i,
        offset=None if offset < 0 else offset,
      )
    if most_are and len(wrong) > _FIRST_FEW:
      yield Finding(
        content.path,
        f'{len(wrong):,} of {len(known):,} labels are not those of '
        f'{labels.path}; is this file swapped with another one?',
      )


def _shown(label: record_lib.Label, is_official: bool) -> str:
  """Returns a label, or a list of them, for a message."""
  one = imagenet.named if is_official else str
  text = ', '.join(map(one, record_lib.each(label)))
  return f'[{text}]' if isinstance(label, tuple) else text
