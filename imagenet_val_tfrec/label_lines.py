"""One line of a label file: what it says, or what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from imagenet_val_tfrec import errors, names

EXPECTED = 'expected one "NAME LABEL" a line, e.g. "rose_01.jpg 3"'

# A name and its label, or a complaint, or None for a line that says nothing.
Reading: TypeAlias = tuple[str, int] | str | None

_MAX_LABEL = 2**31 - 1
_CONTROL = re.compile('[\x00-\x1f\x7f-\x9f]')
_KAGGLE_HEADER = 'ImageId,PredictionString'

# What people pass for a label file by mistake, by its first bytes.
_PACKED = 'is {}-compressed; unpack it first: {} FILE'
_WIDE = 'is UTF-{0} text; convert it: iconv -f UTF-{0} -t UTF-8'
_MISTAKEN = (
  (b'\x1f\x8b', _PACKED.format('gzip', 'gunzip -k')),
  # In full, as names may begin like the first three letters.
  *(
    (b'BZh%d1AY&SY' % level, _PACKED.format('bzip2', 'bunzip2 -k'))
    for level in range(1, 10)
  ),
  (b'\xfd7zXZ\0', _PACKED.format('xz', 'unxz -k')),
  (b'\x28\xb5\x2f\xfd', _PACKED.format('zstd', 'unzstd')),
  (b'PK\x03\x04', 'is a zip archive; unpack it first: unzip FILE'),
  (b"7z\xbc\xaf'\x1c", 'is a 7-zip archive; unpack it first: 7z x FILE'),
  (b'Rar!\x1a\x07', 'is a RAR archive; unpack it first: unrar x FILE'),
  (b'\xff\xd8\xff', 'is a JPEG image, not a label file'),
  (b'\x89PNG', 'is a PNG image, not a label file'),
  (b'\xff\xfe\0\0', _WIDE.format(32)),
  (b'\xff\xfe', _WIDE.format(16)),
  (b'\xfe\xff', _WIDE.format(16)),
)
# Two plain letters of UTF-16 at the start, or a label at the end of a line.
_UTF_16 = re.compile(
  rb'\A(?:[^\0]\0){2}|\A(?:\0[^\0]){2}'
  rb'|[ \t]\0(?:[0-9]\0)+(?:\r\0)?(?:\n|\Z)'
  rb'|\0[ \t](?:\0[0-9])+(?:\0\r)?(?:\0\n|\Z)'
)


def mistaken(first: bytes) -> str:
  """Says what a file is that is no text, by its first line; '' if it is."""
  for magic, what in _MISTAKEN:
    if first.startswith(magic):
      return what
  if b'\0' not in first:
    return ''
  if _UTF_16.search(first):
    return _WIDE.format(16)
  return 'is not text, so not a label file'


def mistaken_text(first: bytes) -> str:
  """Says what text it is that has no lines as expected, by its first one.

  Args:
    first: The first line that is not blank, or its start if it is very long.
  """
  start = first.lstrip()
  if start.startswith((b'{', b'[')):
    return f'is JSON; write it out as lines: {EXPECTED}'
  if b'\r' in start.rstrip() and b'\n' not in start:
    return r"has the line ends of old Macs (run: tr '\r' '\n')"
  return ''


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
      return f'columns are swapped: found {errors.quoted(line)}'
    found = errors.quoted(label)
    return (
      f'label of {errors.quoted(name)} is {found}, expected digits 0-9 only'
    )
  digits = label.lstrip('0') or '0'
  if len(digits) > 10 or int(digits) > _MAX_LABEL:
    return (
      f'label of {errors.quoted(name)} is out of range: {errors.quoted(label)}'
    )
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
    return f'found {errors.quoted(line)}, expected "NAME,nXXXXXXXX x y x y …"'
  return _named(f'{name}.JPEG', classes[wnid])


def _named(name: str, label: int) -> Reading:
  """Returns the name, normalised, and the label; or a complaint."""
  if not (name.isascii() and name.isprintable()) and _CONTROL.search(name):
    return f'control character in name {errors.quoted(name)}'
  if names.is_too_long(name):
    return (
      f'a name of more than {names.MOST_BYTES:,} bytes: {errors.quoted(name)}'
    )
  if name.startswith('/'):
    return (
      f'absolute name {errors.quoted(name)}, expected one relative to the '
      'image folder'
    )
  if names.leads_out(name):
    return f'".." in name {errors.quoted(name)}'
  normal = names.normalise(name) if '/' in name else name
  if normal in ('', '.'):
    return f'{errors.quoted(name)} is not an image name'
  return normal, label


def _is_number(text: str) -> bool:
  return text.isascii() and text.isdigit()


def _miscounted(parts: Sequence[str]) -> str:
  """Says why there are not two columns."""
  line = ' '.join(parts)
  found = f'found {errors.quoted(line)}'
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
