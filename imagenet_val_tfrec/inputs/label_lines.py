"""One line of a label file: a name, and its label or its list of labels.

A function for each format. It returns None for a line without them, and raises
ValueError that says why a line cannot be read.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from typing import TypeAlias

from imagenet_val_tfrec.core import errors

OLD_MAC = r"has the line ends of old Macs (run: tr '\r' '\n')"
JSONL = (
  'expected {"file_name": "rose_01.jpg", "label": 3} on each line, or a list '
  'on each: "label": [3, 5]'
)
_TEXT = 'expected one "NAME LABEL" a line, e.g. "rose_01.jpg 3"'
_CSV = 'expected one "NAME,LABEL" a line, e.g. "rose_01.jpg,3"'
_WNID = re.compile('n[0-9]{8}')
_KAGGLE_HEADER = ['ImageId', 'PredictionString']
# Columns of a CSV file, as people call them; the first is Hugging Face's word.
_NAME_COLUMNS = ('file_name', 'filename', 'file', 'image', 'path', 'name')
_LABEL_COLUMNS = ('label', 'labels', 'class', 'category', 'target')
# What people write for several numbers where there can be only one.
_SEVERAL = re.compile(r'\[.*|[0-9]+([ ,;|]+[0-9]+)+')

# A label is digits, or a word.
Line: TypeAlias = 'tuple[str, str | list[str]] | None'
ReadLine = Callable[[str], Line]


def reader_of(path: str) -> tuple[ReadLine, str]:
  """Returns what reads a line of that file, and what it expects, in words."""
  if path.endswith('.csv'):
    return _CsvReader().read_line, _CSV
  return (_read_json, JSONL) if path.endswith('.jsonl') else (_read_text, _TEXT)


def is_number(text: str) -> bool:
  """Whether it is made of the digits 0-9 alone."""
  return text.isascii() and text.isdigit()


def no_number(label: str) -> str:
  """Says what is wrong with a label that is neither a number nor a word."""
  what = f'{errors.quoted(label)}, expected digits 0-9 only'
  if _SEVERAL.fullmatch(label):
    what += '; several labels need a .jsonl file: "label": [3, 5]'
  return what


def _read_text(line: str) -> tuple[str, str] | None:
  """Reads `NAME LABEL`, with blanks or tabs between; a name may hold blanks."""
  if '\r' in line:
    raise ValueError(f'the line {OLD_MAC}: found {errors.quoted(line)}')
  name, tab, label = line.strip(' \t').rpartition('\t')
  if not tab:
    name, _, label = line.strip(' ').rpartition(' ')
  name, label = name.strip(' \t'), label.strip(' \t')
  if not label:
    return None
  if not name:
    raise ValueError(_one_column(label))
  if not is_number(label) and is_number(name):
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


def _read_json(line: str) -> Line:
  """Reads `{"file_name": …, "label": …}`; several labels may be `labels`."""
  if not line.strip():
    return None
  try:
    found = json.loads(line)
  except RecursionError as e:
    raise ValueError('too many brackets') from e
  fields = found if isinstance(found, dict) else {}
  name = fields.get('file_name')
  label = fields.get('label', fields.get('labels'))
  if isinstance(name, str) and not {'label', 'labels'} <= fields.keys():
    if type(label) in (int, str):
      return name, str(label)
    if isinstance(label, list) and {*map(type, label)} <= {int, str}:
      return name, [*map(str, label)]
  raise ValueError(f'found {errors.quoted(line)}')


def _one_column(line: str) -> str:
  """Says why there are not two columns."""
  found = f'found {errors.quoted(line)}'
  if is_number(line):
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
