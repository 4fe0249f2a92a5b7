"""Puts finished older-format files in the place of old ones: all, or none.

Old files wait in the work directory until all new ones are there. Whatever
happens before, they are put back; and if the process is killed, or the machine
stops, by the next one that opens the work directory.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence

from imagenet_val_tfrec.core import errors, small_files, storage
from imagenet_val_tfrec.records import raw_files, sums
from imagenet_val_tfrec.writing import staging

# In the work directory, from the first change in the target on: the new names.
_NEW = 'publishing.json'


def in_the_way(tfrec_dir: str, tfrec_base: str, overwrite: bool) -> list[str]:
  """Returns the files to replace, in numeric order, `SHA256SUMS` last.

  Raises InputError if TFRecord files, of any name, are there, and none is to be
  overwritten; or if one to replace is a folder, or `SHA256SUMS` is damaged.
  """
  names = storage.names_in(tfrec_dir)
  found = [name for name in names if name.endswith(raw_files.SUFFIX)]
  if found and not overwrite:
    raise errors.InputError(
      f'{tfrec_dir}: there are TFRecord files already: {errors.some(found)}. '
      'Choose another tfrec_dir, or --overwrite to replace those named '
      f'{raw_files.shard_name(tfrec_base, 0)} and so on'
    )
  old = list(raw_files.by_base(found).get(tfrec_base, {}).values())
  for name in old:
    if storage.is_folder(path := os.path.join(tfrec_dir, name)):
      raise errors.InputError(
        f'{path}: a folder, expected a file to replace. Move it elsewhere'
      )
  return old if sums.read(tfrec_dir) is None else [*old, sums.FILENAME]


def publish(
  work_dir: staging.WorkDir, old: Sequence[str], digests: Mapping[str, str]
) -> None:
  """Moves finished files to the target, and takes old ones away.

  No reader accepts a folder without number 0. So that file is the first one to
  be removed and the last one to be added. `SHA256SUMS` is replaced with them;
  its lines about other files in the folder are kept. When this returns, a loss
  of power does no harm any more; if it raises, all is as it was.

  `old` are those of `in_the_way`; `digests` names the new ones, in order.
  """
  target = work_dir.target
  others = {*storage.names_in(target)} - {*old}
  kept = (sums.read(target) or {}).items()
  sums.write(
    work_dir.shards, {n: d for n, d in kept if n in others} | {**digests}
  )
  new = [*digests, sums.FILENAME]
  storage.sync(work_dir.shards)
  small_files.write_text(
    os.path.join(work_dir.path, _NEW), json.dumps({'files': new, 'old': [*old]})
  )
  try:
    storage.make_folder(work_dir.old)  # It syncs the folder of both.
    for part in (old[:1], old[1:]):
      _move(part, target, work_dir.old)
    for part in (new[1:], new[:1]):
      for name in reversed(part):
        finished = os.path.join(work_dir.shards, name)
        storage.link(finished, os.path.join(target, name))
      storage.sync(target)
  except BaseException:
    put_back(work_dir)
    raise


def put_back(work_dir: staging.WorkDir) -> None:
  """Undoes a `publish` that was not finished."""
  marker = os.path.join(work_dir.path, _NEW)
  if not storage.exists(marker):
    return
  said = small_files.read_json(marker, {'files': [str]})
  new = said['files']
  published = [name for name in new if _is_published(work_dir, name)]
  if len(published) < len(new):
    for name in published:
      finished = os.path.join(work_dir.shards, name)
      if storage.exists(finished):
        storage.remove(os.path.join(work_dir.target, name))
      else:  # There are no links, and the file itself was moved.
        storage.replace(os.path.join(work_dir.target, name), finished)
    old = [
      name
      for name in reversed(said['old'])
      if storage.exists(os.path.join(work_dir.old, name))
    ]
    for part in (old[:-1], old[-1:]):
      _move(part, work_dir.old, work_dir.target)
  storage.sync(work_dir.target)
  if len(published) == len(new):  # These are the target's own files now.
    storage.remove(work_dir.shards)
    storage.make_folder(work_dir.shards)
  storage.remove(work_dir.old)
  storage.remove(marker)
  storage.sync(work_dir.path)  # Else it may come back to other shards.


def _move(names: Sequence[str], folder: str, target: str) -> None:
  for name in names:
    storage.replace(os.path.join(folder, name), os.path.join(target, name))
  storage.sync(target)


def _is_published(work_dir: staging.WorkDir, name: str) -> bool:
  finished = os.path.join(work_dir.shards, name)
  published = os.path.join(work_dir.target, name)
  if not storage.exists(published):
    return False
  return not storage.exists(finished) or (
    not storage.is_remote(published) and os.path.samefile(finished, published)
  )


@contextlib.contextmanager
def removed_if_empty(folder: str) -> Iterator[None]:
  """Removes folders that were not there before if nothing is in them after."""
  new = []
  above = os.path.abspath(folder)
  while not storage.is_remote(folder) and not os.path.lexists(above):
    new.append(above)
    above = os.path.dirname(above)
  try:
    yield
  finally:
    with contextlib.suppress(OSError):  # Not empty, as it should be.
      for folder in new:
        os.rmdir(folder)
