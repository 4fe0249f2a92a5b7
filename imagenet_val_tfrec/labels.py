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
from collections.abc import Callable, Iterable, Sequence

from imagenet_val_tfrec import errors, storage

_MAX_LABEL = 2**31 - 1
_CONTROL = re.compile('[\x00-\x1f\x7f-\x9f]')
_EXPECTED = 'expected one "NAME LABEL" a line, e.g. "rose_01.jpg 3"'

# What people pass for a label file by mistake, by its first bytes.
_MISTAKEN = (
  (b'\x1f\x8b', 'is gzip-compressed; unpack it first: gunzip -k FILE'),
  (b'PK\x03\x04', 'is a zip archive; unpack it first: unzip FILE'),
  (b'\xff\xfe', 'is UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8'),
  (b'\xfe\xff', 'is UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8'),
  (b'{', 'is JSON; write it out as lines of "NAME LABEL"'),
  (b'[', 'is JSON; write it out as lines of "NAME LABEL"'),
  (b'\xff\xd8\xff', 'is a JPEG image, not a label file'),
)


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
    found = [
      f'{self.where(i)}: {self.names[i]!r} has label {label}'
      for i, label in enumerate(self.labels)
      if label >= num_classes
    ]
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
  return parse_labels(storage.read_lines(path), path=path)


def parse_labels(lines: Iterable[bytes], *, path: str) -> Labels:
  """As `read_labels`, from the file's lines (with their line ends)."""
  return _parse(lines, path, _fields)


def parse_kaggle(
  lines: Iterable[bytes], *, path: str, wnids: Sequence[str]
) -> Labels:
  """Reads Kaggle's `LOC_val_solution.csv`.

  Args:
    lines: `ImageId,PredictionString`, then lines such as
      `ILSVRC2012_val_00000001,n01751748 111 108 441 193`: the class of the
      first box is the label.
    path: Of the file, for messages.
    wnids: The 1,000 WordNet ids; a label is an index of it.

  Returns:
    The names (with `.JPEG`) and labels, in file order.

  Raises:
    LabelError: as `read_labels`.
  """
  index = {wnid: i for i, wnid in enumerate(wnids)}

  def fields(line: str) -> tuple[str, int] | str | None:
    if line in ('', 'ImageId,PredictionString'):
      return None
    name, _, boxes = line.partition(',')
    wnid = boxes.partition(' ')[0]
    if wnid not in index:
      return f'found {line[:60]!r}, expected "NAME,nXXXXXXXX x y x y …"'
    return f'{name}.JPEG', index[wnid]

  return _parse(lines, path, fields)


def _parse(
  lines: Iterable[bytes],
  path: str,
  fields: Callable[[str], tuple[str, int] | str | None],
) -> Labels:
  """Reads lines by `fields`: name and label, a complaint, or None to skip."""
  names: list[str] = []
  labels, numbers = array.array('i'), array.array('i')
  problems: list[str] = []
  sha256 = hashlib.sha256()
  raw = b'\n'
  for number, raw in enumerate(lines, 1):
    sha256.update(raw)
    if number == 1:
      _refuse_mistaken(raw, path)
      raw = raw.removeprefix(b'\xef\xbb\xbf')
    try:
      found = fields(raw.decode('utf-8').rstrip('\r\n'))
    except UnicodeDecodeError as e:
      found = f'byte {e.start} is not UTF-8 text'
    if isinstance(found, str):
      problems.append(f'{path}:{number}: {found}')
    elif found is not None:
      names.append(found[0])
      labels.append(found[1])
      numbers.append(number)
  if problems:
    raise LabelError(
      errors.offenders('lines cannot be read', problems, _EXPECTED + '.')
    )
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


def _refuse_mistaken(start: bytes, path: str) -> None:
  for magic, what in _MISTAKEN:
    if start.startswith(magic):
      raise LabelError(f'{path}: {what}')


def _fields(line: str) -> tuple[str, int] | str | None:
  """Reads `NAME LABEL`; returns what is wrong with it as a string."""
  parts = line.replace('\t', ' ').split(' ')
  if len(parts) != 2 or not (parts[0] and parts[1]):
    parts = [part for part in parts if part]
    if not parts:
      return None
    if len(parts) != 2:
      return _miscounted(parts)
  name, label = parts
  if not _is_number(label):
    if _is_number(name):
      return f'columns are swapped: found {line!r}'
    return f'label of {name!r} is {label!r}, expected digits 0-9 only'
  if len(label) > 10 or int(label) > _MAX_LABEL:
    return f'label of {name!r} is out of range: {label[:20]}'
  return _normalised(name, int(label))


def _is_number(text: str) -> bool:
  return text.isascii() and text.isdigit()


def _miscounted(parts: Sequence[str]) -> str:
  start = ' '.join(parts)[:60]
  if len(parts) > 2:
    hint = ''
    if _is_number(parts[-1]):
      hint = ' (names with spaces cannot be told apart: rename the file)'
    return f'{len(parts)} columns, expected 2{hint}: found {start!r}'
  if _is_number(start):
    return (
      f"only a number: found {start!r}. Bare ids, as in the ILSVRC devkit's "
      'ground truth, have no names and are numbered otherwise; leave the '
      'label file out to use the true labels'
    )
  if ',' in start:
    return f'commas between the columns, expected a space: found {start!r}'
  return f'no label: found {start!r} (is the file cut?)'


def _normalised(name: str, label: int) -> tuple[str, int] | str:
  if not (name.isascii() and name.isprintable()) and _CONTROL.search(name):
    return f'control character in name {name!r}'
  if name[0] == '/':
    return f'absolute name {name!r}, expected one relative to the image folder'
  if '/' in name:
    folders = [part for part in name.split('/') if part not in ('', '.')]
    if '..' in folders:
      return f'".." in name {name!r}'
    name = '/'.join(folders)
  if name in ('', '.', '..'):
    return f'{name!r} is not an image name'
  return name, label


def _refuse_twice(labels: Labels) -> None:
  """Raises LabelError if a name stands twice; warns if but for its case."""
  # Files in strict order, as the official ones, need no set of all names.
  lowered = map(str.lower, labels.names)
  if all(a < b for a, b in itertools.pairwise(lowered)):
    return
  first: dict[str, int] = {}
  found = [
    f'{labels.where(i)}: {name!r}, as on line {labels.lines[first[name]]}'
    for i, name in enumerate(labels.names)
    if first.setdefault(name, i) != i
  ]
  if found:
    raise LabelError(
      errors.offenders('names stand twice', found, 'Keep one of each.')
    )
  del first
  if len({name.lower() for name in labels.names}) < len(labels):
    warnings.warn(
      f'{labels.path}: some names differ only in upper and lower case; on a '
      'disk that does not tell these apart they are one file',
      stacklevel=2,
    )
