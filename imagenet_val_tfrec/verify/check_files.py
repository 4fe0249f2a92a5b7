"""Whether files hold as many records as they should, in the right order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.inputs import labels as labels_lib
from imagenet_val_tfrec.records import counting
from imagenet_val_tfrec.verify import check_records, expected

_FIRST_FEW = 10  # Wrong labels, where most are: then it is the file.


def check_numbers(
  split: expected.Split, contents: Sequence[check_records.Contents]
) -> Iterator[check_records.Finding]:
  """Yields files that have too few records, or too many.

  Args:
    split: What should be there.
    contents: What is in each of its files.
  """
  numbers = [_number(content) for content in contents]
  if not split.of_tfds:
    for index, what in counting.unequal(numbers):
      yield check_records.Finding(split.paths[index], what)
    return
  for path, number, length in zip(
    split.paths, numbers, split.lengths or numbers, strict=True
  ):
    if number not in (None, length):
      yield check_records.Finding(
        path, f'{number:,} records, expected {length:,} as TFDS says'
      )


def check_size(
  split: expected.Split, contents: Sequence[check_records.Contents]
) -> Iterator[check_records.Finding]:
  """Yields a finding if the files are not as large as TFDS says.

  Args:
    split: What should be there, and is.
    contents: What is in each of its files.
  """
  size = sum(map(storage.size_of, split.paths))
  number = sum(len(content.labels) for content in contents)
  if split.num_bytes is not None and not counting.is_size(
    split.num_bytes, size, number
  ):
    yield check_records.Finding(
      split.folder,
      f'files of {size:,} bytes, expected {split.num_bytes:,} as TFDS says',
    )


def check_labels(
  split: expected.Split,
  contents: Sequence[check_records.Contents],
  labels: labels_lib.Labels,
) -> Iterator[check_records.Finding]:
  """Yields records whose labels are not those of the label file, in order.

  Args:
    split: What should be there.
    contents: What is in each of its files.
    labels: What the label file says. TFDS's dataset may be made of its first
      lines.
  """
  numbers = [_number(content) for content in contents]
  total = sum(number or 0 for number in numbers)
  if None not in numbers and (
    total > len(labels) or (total < len(labels) and not split.of_tfds)
  ):
    yield check_records.Finding(
      split.folder,
      f'{total:,} records, expected {len(labels):,} as in {labels.path}',
    )
  lengths = [n for n in _lengths(split, contents)[:-1] if n is not None]
  if len(lengths) < len(contents) - 1:
    return  # So nobody knows where the last file begins.
  starts = itertools.accumulate(lengths, initial=0)
  for path, content, start in zip(split.paths, contents, starts, strict=True):
    # After damage nobody knows which record is which.
    sure = min(content.damages, default=len(content.labels))
    expected = labels.labels[start : start + sure]
    wrong = [
      (number, label)
      for number, (label, true) in enumerate(
        zip(content.labels[:sure], expected, strict=False)
      )
      if label not in (true, check_records.UNKNOWN_LABEL)
    ]
    known = sum(
      label != check_records.UNKNOWN_LABEL for label in content.labels[:sure]
    )
    most = known // 2
    for number, label in wrong if len(wrong) <= most else wrong[:_FIRST_FEW]:
      at = start + number
      yield check_records.Finding(
        path,
        f'label {label}, expected {labels.labels[at]} as in '
        f'{labels.where(at)} ({errors.quoted(labels.names[at])})',
        *content.place(number),
      )
    if len(wrong) > most and len(wrong) > _FIRST_FEW:
      yield check_records.Finding(
        path,
        f'{len(wrong):,} of {known:,} labels are not those of {labels.path}; '
        'is this file swapped with another one?',
      )


def _lengths(
  split: expected.Split, contents: Sequence[check_records.Contents]
) -> list[int | None]:
  """Returns how many records each file should have; None if any number."""
  if split.lengths is not None:
    return list(split.lengths)
  numbers = [_number(content) for content in contents]
  if split.of_tfds:
    return numbers
  usual = counting.usual_length(numbers)
  return [*[usual] * (len(contents) - 1), None]


def _number(content: check_records.Contents) -> int | None:
  """Returns how many records a file has; None if that cannot be known."""
  if not content.readable or content.damages:
    return None
  return len(content.labels)
