"""Label files: one `NAME LABEL` a line, in the order the examples will have.

Every error carries `path:line`.
"""

from __future__ import annotations

import array
import dataclasses
import hashlib
import itertools
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import IO

from imagenet_val_tfrec.core import errors, magic, storage
from imagenet_val_tfrec.inputs import entries
from imagenet_val_tfrec.records import record as record_lib

_EXPECTED = 'expected one "NAME LABEL" a line, e.g. "rose_01.jpg 3"'
_BOM = b'\xef\xbb\xbf'
_LONGEST_LINE = 1 << 16
_CONTROL = re.compile('[\x00-\x1f\x7f-\x9f]')
_OLD_MAC = r"has the line ends of old Macs (run: tr '\r' '\n')"
_KAGGLE_HEADER = 'ImageId,PredictionString'
# Two plain letters of UTF-16 at the start, or a label at the end of a line.
_UTF_16 = re.compile(
  rb'\A(?:[^\0]\0){2}|\A(?:\0[^\0]){2}'
  rb'|[ \t]\0(?:[0-9]\0)+(?:\r\0)?(?:\n|\Z)'
  rb'|\0[ \t](?:\0[0-9])+(?:\0\r)?(?:\0\n|\Z)'
)


class LabelError(errors.InputError):
  """A label file that cannot be used; the message has path and line."""


# Reads one line: a name and its label, or None for a line without them.
# Raises ValueError that says why a line cannot be read.
ReadLine = Callable[[str], tuple[str, int] | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labels:
  """Labelled image names, in file order.

  Names are relative, with `/` between folders, each one once; labels are 0 or
  more; lines count from 1. `sha256` is of the file's bytes. The file is
  `cut_short` if its last line has no line end. Its `file_state` is that of
  `storage.state_of` when it was read; None if that is not known.
  """

  path: str
  names: Sequence[str]
  labels: Sequence[int]
  lines: Sequence[int]
  sha256: str
  cut_short: bool = False
  file_state: tuple[object, ...] | None = None

  def __len__(self) -> int:
    return len(self.names)

  def where(self, index: int) -> str:
    """Returns `path:line` of the name at `index`."""
    return f'{self.path}:{self.lines[index]}'

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


def read_labels(path: str) -> Labels:
  """Reads UTF-8 text, one `NAME LABEL` a line.

  Blank lines, a byte order mark, tabs and CRLF are fine. Raises LabelError if a
  line is not as expected, or a name occurs twice.
  """
  with storage.open_file(path) as file:
    try:
      return parse_labels(file, path=path)
    except OSError as e:
      e.filename = path  # An open file does not name itself.
      raise


def parse_labels(file: IO[bytes], *, path: str) -> Labels:
  """As `read_labels`, from an open file; `path` is for messages."""
  return _parse(file, path, _read_line)


def parse_kaggle(file: IO[bytes], *, path: str, wnids: Sequence[str]) -> Labels:
  """As `parse_labels`, of Kaggle's `LOC_val_solution.csv`.

  After `ImageId,PredictionString` come lines such as
  `ILSVRC2012_val_00000001,n01751748 111 108 441 193`. The label is the index in
  `wnids` of the first box's class; names get `.JPEG`.
  """
  classes = {wnid: label for label, wnid in enumerate(wnids)}
  return _parse(file, path, lambda line: _read_kaggle_line(line, classes))


def _parse(file: IO[bytes], path: str, read_line: ReadLine) -> Labels:
  names: list[str] = []
  labels, numbers = array.array('i'), array.array('i')
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
        name, label = line
        names.append(name)
        labels.append(label)
        numbers.append(number)
    except ValueError as e:
      # Before the first label it may be another file altogether.
      if not names and (what := _mistaken(text, blank)):
        raise LabelError(f'{path}: {what}') from e
      what = str(e)
      if isinstance(e, UnicodeDecodeError):
        what = f'byte {e.start} is not UTF-8 text'
      problems.add(f'{path}:{number}: {what}')
      if len(text) >= _LONGEST_LINE:
        break
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


def _mistaken(text: bytes, blank: bool) -> str:
  """Says what a file is instead of a label file; '' if that is not known.

  The text is that of a line that cannot be read, or its start if it is very
  long; `blank` says whether all lines before it are blank.
  """
  kind = magic.kind_of(text)
  if b'\0' in text and _UTF_16.search(text):
    kind = magic.UTF_16
  if kind:
    advice = f'; {kind.advice.format("FILE")}' if kind.advice else ''
    return f'is {kind.words}, not a label file{advice}'
  if b'\0' in text:
    return 'is not text, so not a label file'
  start = text.lstrip()
  if blank and start.startswith((b'{', b'[')):
    return f'is JSON; write it out as lines: {_EXPECTED}'
  if blank and b'\r' in start.rstrip() and b'\n' not in start:
    return _OLD_MAC
  return ''


def _read_line(line: str) -> tuple[str, int] | None:
  """Reads `NAME LABEL`, with blanks or tabs between."""
  parts = [part for part in line.replace('\t', ' ').split(' ') if part]
  if not parts:
    return None
  if len(parts) != 2:
    raise ValueError(_miscounted(parts))
  name, label = parts
  digits = label.lstrip('0') or '0'
  problem = ''
  if not _is_number(label):
    if _is_number(name):
      raise ValueError(f'columns are swapped: found {errors.quoted(line)}')
    problem = f'{errors.quoted(label)}, expected digits 0-9 only'
  elif len(digits) > 10 or record_lib.label_problem(int(digits)):
    problem = f'out of range: {errors.quoted(label)}'
  if problem:
    raise ValueError(f'label of {errors.quoted(name)} is {problem}')
  return _normal_name(name), int(digits)


def _read_kaggle_line(
  line: str, classes: Mapping[str, int]
) -> tuple[str, int] | None:
  """Reads `NAME,WNID x y x y …`."""
  if line in ('', _KAGGLE_HEADER):
    return None
  name, _, boxes = line.partition(',')
  wnid = boxes.partition(' ')[0]
  if not name or wnid not in classes:
    raise ValueError(
      f'found {errors.quoted(line)}, expected "NAME,nXXXXXXXX x y x y …"'
    )
  return _normal_name(f'{name}.JPEG'), classes[wnid]


def _normal_name(name: str) -> str:
  """Returns the name normalised; raises ValueError if it cannot be used."""
  problem = ''
  if not (name.isascii() and name.isprintable()) and _CONTROL.search(name):
    problem = 'control character in name {}'
  elif entries.is_too_long(name):
    problem = f'a name of more than {entries.MOST_BYTES:,} bytes: {{}}'
  elif name.startswith('/'):
    problem = 'absolute name {}, expected one relative to the image folder'
  elif entries.leads_out(name):
    problem = '".." in name {}'
  normal = entries.normalise(name) if '/' in name else name
  if not problem and normal in ('', '.'):
    problem = '{} is not an image name'
  if problem:
    raise ValueError(problem.format(errors.quoted(name)))
  return normal


def _is_number(text: str) -> bool:
  return text.isascii() and text.isdigit()


def _miscounted(parts: Sequence[str]) -> str:
  """Says why there are not two columns."""
  line = ' '.join(parts)
  found = f'found {errors.quoted(line)}'
  if '\r' in line:
    return f'the line {_OLD_MAC}: {found}'
  if len(parts) > 2:
    hint = ''
    if _is_number(parts[-1]):
      hint = ' (names with spaces cannot be told apart: rename the file)'
    return f'{len(parts)} columns, expected 2{hint}: {found}'
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
