"""The older raw TFRecord files in a folder, in the order of their numbers."""

from __future__ import annotations

import os
from collections.abc import Sequence

from imagenet_val_tfrec import errors, numbering, storage


def legacy_shards(tfrec_dir: str | os.PathLike[str]) -> list[str]:
  """Lists `NAME_0.tfrecord`, `NAME_1.tfrecord` and so on, in numeric order.

  Args:
    tfrec_dir: The folder; files that do not end in `.tfrecord` are passed over.

  Returns:
    Their paths: `NAME_10.tfrecord` after `NAME_9.tfrecord`.

  Raises:
    FileNotFoundError: if there is no such folder, or none of them in it.
    errors.InputError: if a number is missing, a file has none, or they belong
      to more than one NAME.
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
  """Returns the names from number 0 to the last one, and which are there.

  Raises:
    FileNotFoundError: as `legacy_shards`.
    errors.InputError: as `legacy_shards`, but for numbers that are missing.
  """
  expected = f'{numbering.shard_name("NAME", 0)} and so on'
  if not storage.is_folder(folder):
    raise FileNotFoundError(f'no folder {folder!r}; expected one of {expected}')
  found = [
    name for name in storage.names_in(folder) if name.endswith(numbering.SUFFIX)
  ]
  if not found:
    raise FileNotFoundError(
      f'no file *{numbering.SUFFIX} in {folder!r}; expected {expected}'
    )
  by_base = numbering.by_base(found)
  numbered = [name for numbers in by_base.values() for name in numbers.values()]
  if foreign := sorted(set(found) - set(numbered)):
    raise errors.InputError(
      f'{folder}: {len(foreign)} files have no number: '
      f'{errors.some(foreign)}; expected {expected}. Move them elsewhere.'
    )
  if len(by_base) > 1:
    raise errors.InputError(
      f'{folder}: files of {len(by_base)} data sets: '
      f'{errors.some(sorted(by_base))}; expected one. Give each its own folder.'
    )
  ((base, numbers),) = by_base.items()
  return {
    numbering.shard_name(base, number): number in numbers
    for number in range(max(numbers) + 1)
  }


def in_the_way(tfrec_dir: str, tfrec_base: str, overwrite: bool) -> list[str]:
  """Returns the names of the files to replace, in numeric order.

  Raises:
    errors.InputError: if TFRecord files, of any name, are there unasked.
  """
  if not storage.exists(tfrec_dir):
    return []
  names = storage.names_in(tfrec_dir)
  found = [name for name in names if name.endswith(numbering.SUFFIX)]
  if found and not overwrite:
    raise errors.InputError(
      f'{tfrec_dir}: there are TFRecord files already: {errors.some(found)}. '
      'Choose another tfrec_dir, or --overwrite to replace those named '
      f'{numbering.shard_name(tfrec_base, 0)} and so on'
    )
  return list(numbering.by_base(found).get(tfrec_base, {}).values())


def publish(
  finished: str, tfrec_dir: str, old: Sequence[str], new: Sequence[str]
) -> None:
  """Puts finished files in the place of old ones.

  Without number 0 no reader takes a folder for complete; so it is the first to
  go and the last to come.

  Args:
    finished: The folder with the new files.
    tfrec_dir: Where they go.
    old: Names of the files to remove, in numeric order.
    new: Names of the files to put there, in numeric order.
  """
  for name in old:
    storage.remove(os.path.join(tfrec_dir, name))
  for name in reversed(new):
    storage.link(os.path.join(finished, name), os.path.join(tfrec_dir, name))
