"""The older raw TFRecord files in a folder, in the order of their numbers."""

from __future__ import annotations

import collections
import os
import re
from collections.abc import Iterable

from imagenet_val_tfrec.core import errors, storage

SUFFIX = '.tfrecord'
ARRAY_SUFFIX = '.array_record'
INDEX_SUFFIX = '.idx'  # Behind the name of the file; DALI's.

_MOST_GAPS = 1000
_NUMBERED = re.compile(r'(.+)_(0|[1-9][0-9]*)' + re.escape(SUFFIX))


def legacy_shards(tfrec_dir: str | os.PathLike[str]) -> list[str]:
  """Lists `NAME_0.tfrecord`, `NAME_1.tfrecord` and so on, in numeric order.

  Raises FileNotFoundError if there are none, InputError if a number is missing,
  a file has none, or they belong to more than one NAME.
  """
  folder = os.fspath(tfrec_dir)
  numbers = series(folder)
  missing = [name for name, is_there in numbers.items() if not is_there]
  if missing:
    raise errors.InputError(
      f'{folder}: {len(missing)} files are missing: {errors.some(missing)}; '
      f'the last one there is {list(numbers)[-1]!r}. Copy or make them again.'
    )
  return [os.path.join(folder, name) for name in numbers]


def series(folder: str) -> dict[str, bool]:
  """Returns the names from number 0 to the last one, and which exist.

  Raises as `legacy_shards`, but not for numbers that are missing.
  """
  expected = f'{shard_name("NAME", 0)} and so on'
  if not storage.is_folder(folder):
    raise FileNotFoundError(f'no folder {folder!r}; expected one of {expected}')
  found = [name for name in storage.names_in(folder) if name.endswith(SUFFIX)]
  if not found:
    raise FileNotFoundError(
      f'no file *{SUFFIX} in {folder!r}; expected {expected}'
    )
  bases = by_base(found)
  numbered = [name for numbers in bases.values() for name in numbers.values()]
  if foreign := sorted(set(found) - set(numbered)):
    raise errors.InputError(
      f'{folder}: {len(foreign)} files have no number: '
      f'{errors.some(foreign)}; expected {expected}. Move them elsewhere.'
    )
  if len(bases) > 1:
    raise errors.InputError(
      f'{folder}: files of {len(bases)} data sets: '
      f'{errors.some(sorted(bases))}; expected one. Give each its own folder.'
    )
  ((base, numbers),) = bases.items()
  last = max(numbers)
  if last > 2 * len(numbers) + _MOST_GAPS:
    raise errors.InputError(
      f'{folder}: {numbers[last]!r} is one of {len(numbers)} files; expected '
      f'them to be numbered from 0. Rename it, if that is no number of a file'
    )
  return {
    shard_name(base, number): number in numbers for number in range(last + 1)
  }


def is_record_file(name: str) -> bool:
  """Whether that is what files of records are called, older ones or TFDS's."""
  has_records = SUFFIX in name or ARRAY_SUFFIX in name
  return has_records and not name.endswith(INDEX_SUFFIX)


def shard_name(base: str, number: int) -> str:
  """Returns the name of a file, by its number from 0."""
  return f'{base}_{number}{SUFFIX}'


def by_base(names: Iterable[str]) -> dict[str, dict[int, str]]:
  """Returns for each base name the older files by number, in numeric order."""
  found: dict[str, dict[int, str]] = collections.defaultdict(dict)
  for name in names:
    if match := _NUMBERED.fullmatch(name):
      found[match[1]][int(match[2])] = name
  return {
    base: dict(sorted(numbers.items())) for base, numbers in found.items()
  }
