"""Label files: a name and a label a line, in the order of the examples.

Every error carries `path:line`.
"""

from __future__ import annotations

import array
import dataclasses
import hashlib
import itertools
import warnings
from collections.abc import Iterable, Sequence
from typing import IO, Any

from imagenet_val_tfrec.core import errors, magic, storage
from imagenet_val_tfrec.inputs import entries, label_lines
from imagenet_val_tfrec.records import record as record_lib

_BOM = b'\xef\xbb\xbf'
_LONGEST_LINE = 1 << 16


class LabelError(errors.InputError):
  """A label file that cannot be used; the message has path and line."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labels:
  """Labelled image names, in file order.

  Names are relative, with `/` between folders, each one once; labels are 0 or
  more, or such lists; lines count from 1, and there are none if the labels are
  folders.
  `sha256` is of the file's bytes. The file is `cut_short` if its last line has
  no line end. Its `file_state` is that of `storage.state_of` when it was read;
  None if that is not known. `class_names` are known where labels are words.
  """

  path: str
  names: Sequence[str]
  labels: Sequence[record_lib.Label]
  lines: Sequence[int]
  sha256: str
  cut_short: bool = False
  file_state: tuple[object, ...] | None = None
  class_names: tuple[str, ...] | None = None

  def __len__(self) -> int:
    return len(self.names)

  @property
  def several(self) -> bool:
    """Whether each image has a list of labels."""
    return isinstance(self.labels, record_lib.Lists)

  def flat(self) -> array.array[int]:
    """Returns the labels of all images, one after the other."""
    labels: Any = self.labels
    flat: array.array[int] = labels.numbers if self.several else labels
    return flat

  def where(self, index: int) -> str:
    """Returns `path:line` of the name at `index`, or the path alone."""
    return f'{self.path}:{self.lines[index]}' if self.lines else self.path

  def part(self, start: int, stop: int) -> Labels:
    """Returns the names of a range."""
    return dataclasses.replace(
      self,
      names=self.names[start:stop],
      labels=self.labels[start:stop],
      lines=self.lines[start:stop],
      cut_short=self.cut_short and stop >= len(self),
    )

  def in_order(self, order: Sequence[int]) -> Labels:
    """Returns the names at these indices."""
    labels: Any = array.array('i')
    if self.several:
      labels = record_lib.Lists(labels)
    labels.extend(map(self.labels.__getitem__, order))
    return dataclasses.replace(
      self,
      names=[self.names[i] for i in order],
      labels=labels,
      lines=[self.lines[i] for i in order] if self.lines else (),
      cut_short=False,
    )

  def num_classes(self) -> int:
    """Returns the number of classes: the largest label plus one."""
    return max(self.flat()) + 1

  def check_range(self, num_classes: int) -> None:
    """Raises LabelError if a label is not below `num_classes`."""
    if self.num_classes() <= num_classes:
      return
    found = (
      f'{self.where(i)}: {errors.quoted(self.names[i])} has label {label}'
      for i, of_image in enumerate(self.labels)
      for label in record_lib.each(of_image)
      if record_lib.label_problem(label, num_classes)
    )
    what = f'labels are out of range 0..{num_classes - 1}'
    advice = 'Correct the labels, or say the right num_classes.'
    raise LabelError(errors.offenders(what, found, advice))


def read_labels(path: str, class_names: Sequence[str] | None = None) -> Labels:
  """Reads UTF-8 text: `NAME LABEL` lines, or `.csv`, or `.jsonl` by its name.

  A CSV file is Kaggle's `LOC_val_solution.csv`, by its header; else it has
  columns for name and label, by a header, or just these two. A line of `.jsonl`
  is an object with `file_name` and `label`, or, on all lines, with a list of
  labels. Blank lines, a byte order mark, tabs and CRLF are fine. Where labels
  are words, they are `class_names`; or, sorted, become them. Raises LabelError
  if a line is not as expected, or a name occurs twice.
  """
  with storage.open_file(path) as file:
    try:
      return parse_labels(file, path=path, class_names=class_names)
    except OSError as e:
      e.filename = path  # An open file does not name itself.
      raise


def parse_labels(
  file: IO[bytes], *, path: str, class_names: Sequence[str] | None = None
) -> Labels:
  """As `read_labels`, from an open file."""
  read_line, expected = label_lines.reader_of(path)
  labels = _parse(file, path, read_line, expected, class_names)
  _refuse_twice(labels)
  return labels


def _parse(
  file: IO[bytes],
  path: str,
  read_line: label_lines.ReadLine,
  expected: str,
  class_names: Sequence[str] | None,
) -> Labels:
  names: list[str] = []
  labels, numbers = array.array('i'), array.array('i')
  ends = array.array('q', [0])  # Of the lists among the labels.
  words: dict[str, int] = {}
  problems = errors.Offenders()
  sha256 = hashlib.sha256()
  raw, blank = b'\n', True

  def number_of(label: str, name: str) -> int:
    is_number = label_lines.is_number(label)
    if is_number and words:
      raise ValueError(
        f'label of {errors.quoted(name)} is the number {label}, expected a '
        f'word, such as {errors.quoted(next(iter(words)))} before it'
      )
    if is_number:
      return _number(label, name)
    if (
      not label[:1].isalpha()
      or '\n' in label
      or (labels and not words)
      or (not names and _mistaken(text, blank, expected))
    ):
      what = label_lines.no_number(label)
      raise ValueError(f'label of {errors.quoted(name)} is {what}')
    return words.setdefault(label, len(words))

  lines = iter(lambda: file.readline(_LONGEST_LINE), b'')
  for number, raw in enumerate(lines, 1):
    sha256.update(raw)
    text = raw.removeprefix(_BOM) if number == 1 else raw
    try:
      if len(text) >= _LONGEST_LINE:
        raise ValueError('a line without end')
      line = read_line(text.decode('utf-8').rstrip('\r\n'))
      if line:
        name, found = entries.labelled_name(line[0]), line[1]
        is_list = isinstance(found, list)
        if names and is_list != (len(ends) > 1):
          what = 'a list' if is_list else 'no list'
          raise ValueError(
            f'label of {errors.quoted(name)} is {what}, unlike those before '
            'it; write lists on all lines, such as [3] for one label'
          )
        if isinstance(found, str):
          labels.append(number_of(found, name))
        else:
          start = len(labels)
          for label in found:
            labels.append(number_of(label, name))
          of_image = labels[start:]
          if len({*of_image}) < len(of_image):
            raise ValueError(
              f'labels of {errors.quoted(name)} name a class twice: '
              f'{errors.quoted(", ".join(found))}'
            )
          ends.append(len(labels))
        names.append(name)
        numbers.append(number)
    except ValueError as e:
      # Before the first label it may be another file altogether.
      if not names and (what := _mistaken(text, blank, expected)):
        raise LabelError(f'{path}: {what}') from e
      what = str(e)
      if isinstance(e, UnicodeDecodeError):
        what = f'byte {e.start} is not UTF-8 text'
      problems.add(f'{path}:{number}: {what}')
      if len(text) >= _LONGEST_LINE:
        break
    blank = blank and not text.strip()
  if problems:
    raise LabelError(problems.message('lines cannot be read', f'{expected}.'))
  if not names:
    raise LabelError(f'{path}: an empty file, no labels; {expected}')
  several = len(ends) > 1
  if not labels:
    raise LabelError(f'{path}: all lists of labels are empty')
  result = Labels(
    path=path,
    names=names,
    labels=record_lib.Lists(labels, ends) if several else labels,
    lines=numbers,
    sha256=sha256.hexdigest(),
    cut_short=not raw.endswith(b'\n'),
  )
  return _number_words(result, [*words], class_names) if words else result


def _number_words(
  labels: Labels, words: Sequence[str], class_names: Sequence[str] | None
) -> Labels:
  """Returns them with the number of each word among the names of classes.

  Raises LabelError if a word is not among those that were given.
  """
  in_order = tuple(class_names or sort_classes(words))
  index = {name: label for label, name in enumerate(in_order)}
  if {*words} - {*index}:
    lines = (
      f'{labels.where(i)}: {errors.quoted(labels.names[i])} has label '
      f'{errors.quoted(words[label])}'
      for i, of_image in enumerate(labels.labels)
      for label in record_lib.each(of_image)
      if words[label] not in index
    )
    advice = f'They are {errors.some(in_order)}.'
    what = 'labels are not among the class names'
    raise LabelError(errors.offenders(what, lines, advice))
  number = [index[word] for word in words]
  numbers = labels.flat()
  numbers[:] = array.array('i', map(number.__getitem__, numbers))
  return dataclasses.replace(labels, class_names=in_order)


def sort_classes(names: Iterable[str]) -> list[str]:
  """Returns names of classes as numbers if all are, else as text."""
  names = sorted(names)
  are_numbers = all(map(label_lines.is_number, names))
  return sorted(names, key=int) if are_numbers else names


def _refuse_twice(labels: Labels) -> None:
  """Raises LabelError if names are equal; warns if only their case differs."""
  # Files in strict order, as the official ones, need no list of all names.
  lowered = map(str.lower, labels.names)
  if all(a < b for a, b in itertools.pairwise(lowered)):
    return
  hashes = sorted(hash(name.lower()) for name in labels.names)
  repeated = {a for a, b in itertools.pairwise(hashes) if a == b}
  del hashes
  if not repeated:
    return
  same, similar = errors.Offenders(), errors.Offenders()
  lines: dict[str, int] = {}
  first: dict[str, str] = {}
  for i, name in enumerate(labels.names):
    if hash(name.lower()) not in repeated:
      continue
    where = f'{labels.where(i)}: {errors.quoted(name)}'
    other = first.setdefault(name.lower(), name)
    if name in lines:
      same.add(f'{where}, as on line {lines[name]}')
    elif name != other:
      similar.add(f'{where}, {errors.quoted(other)} on line {lines[other]}')
    lines.setdefault(name, labels.lines[i])
  if same:
    raise LabelError(same.message('names occur twice', 'Keep one of each.'))
  if similar:
    what = 'names differ from another one only in upper and lower case'
    advice = 'On a disk that does not tell these apart they are one file.'
    warnings.warn(similar.message(what, advice), stacklevel=2)


def _mistaken(text: bytes, blank: bool, expected: str) -> str:
  """Says what a file is instead of a label file; '' if that is not known.

  The text is that of a line that cannot be read, or its start if it is very
  long; `blank` says whether all lines before it are blank.
  """
  if kind := magic.kind_of_text(text):
    advice = f'; {kind.advice.format("FILE")}' if kind.advice else ''
    return f'is {kind.words}, not a label file{advice}'
  if b'\0' in text:
    return 'is not text, so not a label file'
  start = text.lstrip()
  is_json = start.startswith((b'{', b'['))
  if blank and is_json and expected != label_lines.JSONL:
    return f'is JSON; write it out as lines: {expected}'
  if blank and b'\r' in start.rstrip() and b'\n' not in start:
    return label_lines.OLD_MAC
  return ''


def _number(digits: str, name: str) -> int:
  """Returns the number of a class; ValueError if there cannot be so many."""
  digits = digits.lstrip('0') or '0'
  if len(digits) > 10 or record_lib.label_problem(int(digits)):
    problem = f'out of range: {errors.quoted(digits)}'
    raise ValueError(f'label of {errors.quoted(name)} is {problem}')
  return int(digits)
