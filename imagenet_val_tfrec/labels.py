"""Label files: one `NAME LABEL` a line, in the order the examples will have.

Every error carries `path:line`.
"""

from __future__ import annotations

import array
import dataclasses
import hashlib
import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import IO

from imagenet_val_tfrec import errors, label_lines, storage

_BOM = b'\xef\xbb\xbf'
_EXPECTED = label_lines.EXPECTED
_LONGEST_LINE = 1 << 16


class LabelError(errors.InputError):
  """A label file that cannot be used; the message has path and line."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labels:
  """Labelled image names, in file order.

  Attributes:
    path: The label file, for messages.
    names: Names, relative, `/` between folders, each one once.
    labels: Class of each name, 0 or more.
    lines: Line of each name in the file, from 1.
    sha256: Of the label file's bytes, as hex digits.
    cut_short: Whether the last line has no line end, as in a file that was
      cut (or just written so).
  """

  path: str
  names: Sequence[str]
  labels: Sequence[int]
  lines: Sequence[int]
  sha256: str
  cut_short: bool = False

  def __post_init__(self) -> None:
    if not len(self.names) == len(self.labels) == len(self.lines):
      raise ValueError(
        f'{len(self.names)} names, {len(self.labels)} labels and '
        f'{len(self.lines)} lines; expected as many of each'
      )

  def __len__(self) -> int:
    return len(self.names)

  def where(self, index: int) -> str:
    """Returns `path:line` of the name at `index`."""
    return f'{self.path}:{self.lines[index]}'

  def head(self, number: int) -> Labels:
    """Returns the first `number` names (0: all of them)."""
    if not number or number >= len(self):
      return self
    return dataclasses.replace(
      self,
      names=self.names[:number],
      labels=self.labels[:number],
      lines=self.lines[:number],
      cut_short=False,
    )

  def num_classes(self) -> int:
    """Returns how many classes the labels speak of: the largest, and one."""
    return max(self.labels) + 1

  def check_range(self, num_classes: int) -> None:
    """Raises LabelError if a label is not below `num_classes`."""
    if self.num_classes() <= num_classes:
      return
    found = (
      f'{self.where(i)}: {errors.quoted(self.names[i])} has label {label}'
      for i, label in enumerate(self.labels)
      if label >= num_classes
    )
    raise LabelError(
      errors.offenders(
        f'labels are out of range 0..{num_classes - 1}',
        found,
        'Mend the labels, or say the right num_classes.',
      )
    )


def read_labels(path: str) -> Labels:
  """Reads a label file.

  Args:
    path: UTF-8 text, one `NAME LABEL` a line; blank lines, a byte order mark,
      tabs and CRLF are fine.

  Returns:
    The names and labels, in file order.

  Raises:
    LabelError: if a line is not as expected, or a name stands twice.
    FileNotFoundError: if there is no such file.
  """
  with storage.open_file(path) as file:
    try:
      return parse_labels(file, path=path)
    except OSError as e:
      e.filename = path  # An open file does not name itself.
      raise


def parse_labels(file: IO[bytes], *, path: str) -> Labels:
  """As `read_labels`, from an open file; `path` is for messages."""
  return _parse(file, path, label_lines.read_line)


def parse_kaggle(file: IO[bytes], *, path: str, wnids: Sequence[str]) -> Labels:
  """Reads Kaggle's `LOC_val_solution.csv`.

  Args:
    file: Open; `ImageId,PredictionString`, then lines such as
      `ILSVRC2012_val_00000001,n01751748 111 108 441 193`: the class of the
      first box is the label.
    path: Of the file, for messages.
    wnids: The 1,000 WordNet ids; a label is an index of it.

  Returns:
    The names (with `.JPEG`) and labels, in file order.

  Raises:
    LabelError: as `read_labels`.
  """
  classes = {wnid: label for label, wnid in enumerate(wnids)}
  return _parse(
    file, path, lambda line: label_lines.read_kaggle_line(line, classes)
  )


def _parse(
  file: IO[bytes],
  path: str,
  read_line: Callable[[str], label_lines.Reading],
) -> Labels:
  names: list[str] = []
  labels, numbers = array.array('i'), array.array('i')
  problems = errors.Offenders()
  sha256 = hashlib.sha256()
  raw, blank = b'\n', True
  lines = iter(lambda: file.readline(_LONGEST_LINE), b'')
  for number, raw in enumerate(lines, 1):
    sha256.update(raw)
    text = raw.removeprefix(_BOM) if number == 1 else raw
    # In UTF-16 the first line may end in the middle of a letter.
    if not names and (what := label_lines.mistaken(text)):
      raise LabelError(f'{path}: {what}')
    too_long = len(text) >= _LONGEST_LINE
    if blank and too_long and (what := label_lines.mistaken_text(text)):
      raise LabelError(f'{path}: {what}')
    if too_long:
      raise LabelError(f'{path}:{number}: a line without end; {_EXPECTED}')
    try:
      found = read_line(text.decode('utf-8').rstrip('\r\n'))
    except UnicodeDecodeError as e:
      found = f'byte {e.start} is not UTF-8 text'
    if isinstance(found, str):
      if blank and (what := label_lines.mistaken_text(text)):
        raise LabelError(f'{path}: {what}')
      problems.add(f'{path}:{number}: {found}')
    elif found is not None:
      names.append(found[0])
      labels.append(found[1])
      numbers.append(number)
    blank = blank and not text.strip()
  if problems:
    raise LabelError(problems.message('lines cannot be read', f'{_EXPECTED}.'))
  if not names:
    raise LabelError(f'{path}: an empty file, no labels; {_EXPECTED}')
  result = Labels(
    path=path,
    names=names,
    labels=labels,
    lines=numbers,
    sha256=sha256.hexdigest(),
    cut_short=not raw.endswith(b'\n'),
  )
  _refuse_twice(result)
  return result


def _refuse_twice(labels: Labels) -> None:
  """Raises LabelError if a name stands twice; warns if but for its case."""
  # Files in strict order, as the official ones, need no set of all names.
  lowered = map(str.lower, labels.names)
  if all(a < b for a, b in itertools.pairwise(lowered)):
    return
  where, names = labels.where, labels.names
  if found := errors.Offenders(
    f'{where(i)}: {errors.quoted(names[i])}, as on line {labels.lines[first]}'
    for i, first in _repeated(names)
  ):
    raise LabelError(found.message('names stand twice', 'Keep one of each.'))
  if found := errors.Offenders(
    f'{where(i)}: {errors.quoted(names[i])}, {errors.quoted(names[first])} on '
    f'line {labels.lines[first]}'
    for i, first in _repeated(names, str.lower)
  ):
    message = found.message(
      'names differ from another one only in upper and lower case',
      'On a disk that does not tell these apart they are one file.',
    )
    warnings.warn(message, stacklevel=2)


def _repeated(
  names: Sequence[str], key: Callable[[str], str] = str
) -> Iterator[tuple[int, int]]:
  """Yields each index whose key was there before, and the first such index.

  By sorted hashes: a set of all names would take more room than they do.
  """
  import numpy as np

  hashes = np.fromiter((hash(key(n)) for n in names), np.int64, len(names))
  order = np.argsort(hashes, kind='stable').astype(np.int32)
  hashes = hashes[order]
  again = hashes[1:] == hashes[:-1]
  del hashes
  if not again.any():
    return
  # The place of the first of each run of equal hashes, carried on through it.
  places = np.arange(len(order), dtype=np.int32)
  places[1:][again] = 0
  np.maximum.accumulate(places, out=places)
  first = np.empty_like(order)
  first[order] = order[places]
  del order, places, again
  for again_at in np.flatnonzero(first != np.arange(len(first))):
    i, at = int(again_at), int(first[again_at])
    if key(names[i]) == key(names[at]):
      yield i, at
