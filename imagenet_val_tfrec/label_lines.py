"""One line of a label file: what it says, or what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from imagenet_val_tfrec import names

EXPECTED = 'expected one "NAME LABEL" a line, e.g. "rose_01.jpg 3"'

# A name and its label, or a complaint, or None for a line that says nothing.
Reading: TypeAlias = tuple[str, int] | str | None

_MAX_LABEL = 2**31 - 1
_SHOWN = 60
_CONTROL = re.compile('[\x00-\x1f\x7f-\x9f]')
_KAGGLE_HEADER = 'ImageId,PredictionString'

# What people pass for a label file by mistake, by its first bytes.
_UTF_16 = 'is UTF-16 text; convert it: iconv -f UTF-16 -t UTF-8'
_MISTAKEN = (
  (b'\x1f\x8b', 'is gzip-compressed; unpack it first: gunzip -k FILE'),
  (b'PK\x03\x04', 'is a zip archive; unpack it first: unzip FILE'),
  (b'\xff\xd8\xff', 'is a JPEG image, not a label file'),
  (b'\x89PNG', 'is a PNG image, not a label file'),
  (b'\xff\xfe', _UTF_16),
  (b'\xfe\xff', _UTF_16),
)
# Plain words in UTF-16, without a byte order mark.
_WIDE = re.compile(rb'([^\0]\0){2}|(\0[^\0]){2}')


def mistaken(first: bytes) -> str:
  """Says what a file is that is no text, by its first line; '' if it is."""
  for magic, what in _MISTAKEN:
    if first.startswith(magic):
      return what
  if _WIDE.match(first):
    return _UTF_16
  return 'is not text, so not a label file' if b'\0' in first else ''


def read_line(line: str) -> Reading:
  """Reads `NAME LABEL`, with blanks or tabs between."""
  parts = [part for part in line.replace('\t', ' ').split(' ') if part]
  if not parts:
    return None
  if len(parts) != 2:
    return _miscounted(parts)
  name, label = parts
  if not _is_number(label):
    if _is_number(name):
      return f'columns are swapped: found {_shown(line)}'
    return f'label of {name!r} is {_shown(label)}, expected digits 0-9 only'
  digits = label.lstrip('0') or '0'
  if len(digits) > 10 or int(digits) > _MAX_LABEL:
    return f'label of {name!r} is out of range: {_shown(label)}'
  return _named(name, int(digits))


def read_kaggle_line(line: str, classes: Mapping[str, int]) -> Reading:
  """Reads `NAME,WNID x y x y …`: the class of the first box is the label.

  Args:
    line: Of Kaggle's `LOC_val_solution.csv`.
    classes: The label of each WordNet id.
  """
  if line in ('', _KAGGLE_HEADER):
    return None
  name, _, boxes = line.partition(',')
  wnid = boxes.partition(' ')[0]
  if not name or wnid not in classes:
    return f'found {_shown(line)}, expected "NAME,nXXXXXXXX x y x y …"'
  return _named(f'{name}.JPEG', classes[wnid])


def _named(name: str, label: int) -> Reading:
  """Returns the name, normalised, and the label; or a complaint."""
  if not (name.isascii() and name.isprintable()) and _CONTROL.search(name):
    return f'control character in name {name!r}'
  if name.startswith('/'):
    return f'absolute name {name!r}, expected one relative to the image folder'
  if names.leads_out(name):
    return f'".." in name {name!r}'
  normal = names.normalise(name) if '/' in name else name
  if normal in ('', '.'):
    return f'{name!r} is not an image name'
  return normal, label


def _is_number(text: str) -> bool:
  return text.isascii() and text.isdigit()


def _shown(text: str) -> str:
  """Returns the start of `text`, quoted."""
  return repr(text if len(text) <= _SHOWN else f'{text[:_SHOWN]}…')


def _miscounted(parts: Sequence[str]) -> str:
  """Says why there are not two columns."""
  line = ' '.join(parts)
  found = f'found {_shown(line)}'
  if '\r' in line:
    return f"a line end of old Macs (run: tr '\\r' '\\n'): {found}"
  if len(parts) > 2:
    hint = ''
    if _is_number(parts[-1]):
      hint = ' (names with spaces cannot be told apart: rename the file)'
    return f'{len(parts)} columns, expected 2{hint}: {found}'
  if _is_number(line):
    return (
      f"only a number: {found}. Bare ids, as in the ILSVRC devkit's ground "
      'truth, have no names and are numbered otherwise; leave the label file '
      'out to use the true labels'
    )
  if ',' in line:
    return f'commas between the columns, expected a space: {found}'
  if any(letter.isspace() for letter in line):
    return f'an unusual blank between the columns, expected a space: {found}'
  return f'no label: {found} (is the file cut?)'
