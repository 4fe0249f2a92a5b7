"""Walks a folder and its subfolders, here or remote."""

from __future__ import annotations

import collections
import os
import stat
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from etils import epath

from imagenet_val_tfrec import errors, storage

_KEPT = 4  # Names for a message; one more than it shows.


class File(NamedTuple):
  """What is in a folder, and is no folder.

  Attributes:
    path: Relative to where the walk began, `/` between folders.
    size: In bytes.
    mtime_ns: When it was changed last.
    problem: What it is if not a plain file, e.g. `'a FIFO'`, else ''.
  """

  path: str
  size: int
  mtime_ns: int
  problem: str


def walk(root: str) -> Iterator[File]:
  """Yields every file, those of a folder before its subfolders'.

  Within a folder they come as the disk has them: there may be millions, and
  none of them is kept. Links are followed; one that leads out of `root` gives
  a warning.
  """
  if storage.is_remote(root):
    yield from _walk_remote(epath.Path(root))
  else:
    yield from _walk_local(root)


def _walk_local(root: str) -> Iterator[File]:
  outside: list[str] = []
  num_outside = 0
  real_root = os.path.realpath(root)
  seen: set[tuple[int, int]] = set()  # Links may lead in a circle.
  todo = collections.deque([''])
  while todo:
    below = todo.popleft()
    folder = os.path.join(root, below)
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in seen:
      continue
    seen.add((status.st_dev, status.st_ino))
    subfolders = []
    with os.scandir(folder) as children:
      for child in children:
        path = f'{below}{child.name}'
        try:
          status = child.stat()
        except FileNotFoundError:
          yield File(path, 0, 0, 'a broken link')
          continue
        except OSError as e:
          yield File(path, 0, 0, f'unreadable ({e.strerror})')
          continue
        if child.is_symlink() and _leads_out(child.path, real_root):
          num_outside += 1
          outside = [*outside, path][:_KEPT]
        if stat.S_ISDIR(status.st_mode):
          subfolders.append(f'{path}/')
          continue
        regular = stat.S_ISREG(status.st_mode)
        problem = '' if regular else storage.kind_of(status.st_mode)
        yield File(path, status.st_size, status.st_mtime_ns, problem)
    todo.extend(sorted(subfolders))
  if outside:
    warnings.warn(
      f'{root}: {num_outside:,} links lead out of the folder and are '
      f'followed: {errors.some(outside)}',
      stacklevel=2,
    )


def _leads_out(path: str, real_root: str) -> bool:
  target = os.path.realpath(path)
  return os.path.commonpath([target, real_root]) != real_root


def _walk_remote(root: epath.Path) -> Iterator[File]:
  todo = collections.deque([(root, '')])
  while todo:
    folder, below = todo.popleft()
    for child in sorted(folder.iterdir(), key=lambda child: child.name):
      status = child.stat()
      path = f'{below}{child.name}'
      if status.is_directory:
        todo.append((child, f'{path}/'))
      else:
        yield File(path, status.length, int(status.mtime * 1e9), '')
