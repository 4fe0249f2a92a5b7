"""Label files: a name and a label a line, in the order of the examples.

Every error carries `path:line`.
"""

from __future__ import annotations

import array
import csv
import dataclasses
import hashlib
import itertools
import json
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import IO

from imagenet_val_tfrec.core import errors, magic, storage
from imagenet_val_tfrec.inputs import entries
from imagenet_val_tfrec.records import record as record_lib

_EXPECTED = 'expected one "NAME LABEL" a line, e.g. "rose_01.jpg 3"'
_BOM = b'\xef\xbb\xbf'
_LONGEST_LINE = 1 << 16
_OLD_MAC = r"has the line ends of old Macs (run: tr '\r' '\n')"
_WNID = re.compile('n[0-9]{8}')
_KAGGLE_HEADER = ['ImageId', 'PredictionString']
_CSV = 'expected one "NAME,LABEL" a line, e.g. "rose_01.jpg,3"'
_JSONL = 'expected {"file_name": "rose_01.jpg", "label": 3} on each line'
# Columns of a CSV file, as people call them; the first is Hugging Face's word.
_NAME_COLUMNS = ('file_name', 'filename', 'file', 'image', 'path', 'name')
_LABEL_COLUMNS = ('label', 'labels', 'class', 'category', 'target')


class LabelError(errors.InputError):
  """A label file that cannot be used; the message has path and line."""


# Reads one line: a name and its label, digits or a word, or None for a line
# without them. Raises ValueError that says why a line cannot be read.
ReadLine = Callable[[str], tuple[str, str] | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labels:
  """Labelled image names, in file order.

  Names are relative, with `/` between folders, each one once; labels are 0 or
  more; lines count from 1, and there are none if the labels are folders.
  `sha256` is of the file's bytes. The file is `cut_short` if its last line has
  no line end. Its `file_state` is that of `storage.state_of` when it was read;
  None if that is not known. `class_names` are known where labels are words.
  """

  path: str
  names: Sequence[str]
  labels: Sequence[int]
  lines: Sequence[int]
  sha256: str
  cut_short: bool = False
  file_state: tuple[object, ...] | None = None
  class_names: tuple[str, ...] | None = None

  def __len__(self) -> int:
    return len(self.names)

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

  def num_classes(self) -> int:
    """Returns the number of classes: the largest label plus one."""
    return max(self.labels) + 1

  def check_range(self, num_classes: int) -> None:
    """Raises LabelError if a label is not below `num_classes`."""
    if self.num_classes() <= num_classes:
      return
    found = (
      f'{self.where(i)}: {errors.quoted(self.names[i])} has label {label}'
      for i, label in enumerate(self.labels)
      if record_lib.label_problem(label, num_classes)
    )
    what = f'labels are out of range 0..{num_classes - 1}'
    advice = 'Correct the labels, or say the right num_classes.'
    raise LabelError(errors.offenders(what, found, advice))


def read_labels(path: str, class_names: Sequence[str] | None = None) -> Labels:
  """Reads UTF-8 text: `NAME LABEL` lines, or `.csv`, or `.jsonl` by its name.

  A CSV file is Kaggle's `LOC_val_solution.csv`, by its header; else it has
  columns for name and label, by a header, or just these two. A line of `.jsonl`
  is an object with `file_name` and `label`. Blank lines, a byte order mark,
  tabs and CRLF are fine. Where labels are words, they are `class_names`; or,
  sorted, become them. Raises LabelError if a line is not as expected, or a name
  occurs twice.
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
  read_line: ReadLine = _read_line
  expected = _EXPECTED
  if path.endswith('.csv'):
    read_line, expected = _CsvReader().read_line, _CSV
  elif path.endswith('.jsonl'):
    read_line, expected = _read_json_line, _JSONL
  labels = _parse(file, path, read_line, expected, class_names)
  _refuse_twice(labels)
  return labels


def _parse(
  file: IO[bytes],
  path: str,
  read_line: ReadLine,
  expected: str,
  class_names: Sequence[str] | None,
) -> Labels:
  names: list[str] = []
  labels, numbers = array.array('i'), array.array('i')
  words: dict[str, int] = {}
  problems = errors.Offenders()
  sha256 = hashlib.sha256()
  raw, blank = b'\n', True
  lines = iter(lambda: file.readline(_LONGEST_LINE), b'')
  for number, raw in enumerate(lines, 1):
    sha256.update(raw)
    text = raw.removeprefix(_BOM) if number == 1 else raw
    try:
      if len(text) >= _LONGEST_LINE:
        raise ValueError('a line without end')
      line = read_line(text.decode('utf-8').rstrip('\r\n'))
      if line:
        name, label = entries.labelled_name(line[0]), line[1]
        if _is_number(label):
          value = _number(label, name)
        elif (
          not label[0].isalpha()
          or (names and not words)
          or (not names and _mistaken(text, blank, expected))
        ):
          what = f'{errors.quoted(label)}, expected digits 0-9 only'
          raise ValueError(f'label of {errors.quoted(name)} is {what}')
        else:
          value = words.setdefault(label, len(words))
        if words and _is_number(label):
          raise ValueError(
            f'label of {errors.quoted(name)} is the number {label}, expected a '
            f'word, such as {errors.quoted(next(iter(words)))} before it'
          )
        names.append(name)
        labels.append(value)
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
  result = Labels(
    path=path,
    names=names,
    labels=labels,
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
    found = (
      f'{labels.where(i)}: {errors.quoted(labels.names[i])} has label '
      f'{errors.quoted(words[label])}'
      for i, label in enumerate(labels.labels)
      if words[label] not in index
    )
    advice = f'They are {errors.some(in_order)}.'
    what = 'labels are not among the class names'
    raise LabelError(errors.offenders(what, found, advice))
  number = [index[word] for word in words]
  return dataclasses.replace(
    labels,
    labels=array.array('i', map(number.__getitem__, labels.labels)),
    class_names=in_order,
  )


def sort_classes(names: Iterable[str]) -> list[str]:
  """Returns names of classes as numbers if all are, else as text."""
  names = sorted(names)
  return sorted(names, key=int) if all(map(_is_number, names)) else names


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
  if blank and start.startswith((b'{', b'[')) and expected != _JSONL:
    return f'is JSON; write it out as lines: {expected}'
  if blank and b'\r' in start.rstrip() and b'\n' not in start:
    return _OLD_MAC
  return ''


def _read_line(line: str) -> tuple[str, str] | None:
  """Reads `NAME LABEL`, with blanks or tabs between; a name may hold blanks."""
  if '\r' in line:
    raise ValueError(f'the line {_OLD_MAC}: found {errors.quoted(line)}')
  name, tab, label = line.strip(' \t').rpartition('\t')
  if not tab:
    name, _, label = line.strip(' ').rpartition(' ')
  name, label = name.strip(' \t'), label.strip(' \t')
  if not label:
    return None
  if not name:
    raise ValueError(_one_column(label))
  if not _is_number(label) and _is_number(name):
    raise ValueError(f'columns are swapped: found {errors.quoted(line)}')
  return name, label


class _CsvReader:
  """Reads the lines of a CSV file; the first one may be a header."""

  def __init__(self) -> None:
    self._columns: tuple[int, int] | None = None
    self._is_kaggle = False

  def read_line(self, line: str) -> tuple[str, str] | None:
    try:
      fields = next(csv.reader([line], strict=True), [])
    except csv.Error as e:
      raise ValueError(f'{e}: found {errors.quoted(line)}') from e
    if not fields:
      return None
    if self._columns is None:
      self._columns, is_header = self._read_header(fields)
      if is_header:
        return None
    if len(fields) <= max(self._columns):
      raise ValueError(f'{len(fields)} columns: found {errors.quoted(line)}')
    name, label = (fields[column].strip() for column in self._columns)
    if self._is_kaggle:
      name, label = f'{name}.JPEG', label.partition(' ')[0]
      if not _WNID.fullmatch(label) or name == '.JPEG':
        expected = 'expected "NAME,nXXXXXXXX x y x y …"'
        raise ValueError(f'found {errors.quoted(line)}, {expected}')
    if not (name and label):
      raise ValueError(f'no name or no label: found {errors.quoted(line)}')
    return name, label

  def _read_header(self, fields: list[str]) -> tuple[tuple[int, int], bool]:
    """Returns the columns of name and label, and if these are their titles."""
    if fields == _KAGGLE_HEADER:
      self._is_kaggle = True
      return (0, 1), True
    titles = [field.strip().lower() for field in fields]
    found = [
      next((titles.index(word) for word in words if word in titles), None)
      for words in (_NAME_COLUMNS, _LABEL_COLUMNS)
    ]
    name, label = found
    if name is not None and label is not None:
      return (name, label), True
    if len(fields) != 2:
      raise ValueError(
        f'{len(fields)} columns, without a header such as "file_name,label": '
        f'found {errors.quoted(",".join(fields))}'
      )
    return (0, 1), False


def _read_json_line(line: str) -> tuple[str, str] | None:
  """Reads `{"file_name": …, "label": …}`."""
  if not line.strip():
    return None
  try:
    found = json.loads(line)
  except RecursionError as e:
    raise ValueError('too many brackets') from e
  name, label = (
    found.get(key) if isinstance(found, dict) else None
    for key in ('file_name', 'label')
  )
  if not isinstance(name, str) or type(label) not in (int, str):
    raise ValueError(f'found {errors.quoted(line)}')
  return name, str(label)


def _number(digits: str, name: str) -> int:
  """Returns the number of a class; ValueError if there cannot be so many."""
  digits = digits.lstrip('0') or '0'
  if len(digits) > 10 or record_lib.label_problem(int(digits)):
    problem = f'out of range: {errors.quoted(digits)}'
    raise ValueError(f'label of {errors.quoted(name)} is {problem}')
  return int(digits)


def _is_number(text: str) -> bool:
  return text.isascii() and text.isdigit()


def _one_column(line: str) -> str:
  """Says why there are not two columns."""
  found = f'found {errors.quoted(line)}'
  if _is_number(line):
    return (
      f"only a number: {found}. Bare ids, as in the ILSVRC devkit's ground "
      'truth, have no names and are numbered differently; leave the label file '
      'out to use the true labels'
    )
  if ',' in line:
    return f'commas between the columns, expected a space: {found}'
  if any(letter.isspace() for letter in line):
    return f'an unusual blank between the columns, expected a space: {found}'
  return f'no label: {found} (is the file cut?)'
