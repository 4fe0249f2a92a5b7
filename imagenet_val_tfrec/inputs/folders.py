"""Walks a folder and its subfolders, here or remote."""

from __future__ import annotations

import collections
import itertools
import operator
import os
import stat
import warnings
from collections.abc import Iterator

from imagenet_val_tfrec.core import errors, object_store, storage
from imagenet_val_tfrec.inputs import entries

_SORTED = 100_000  # Files.
_KEPT = 4  # Names for a message; one more than it shows.


def walk(root: str) -> Iterator[entries.Entry]:
  """Yields every file, those of a folder before its subfolders'.

  Within a folder they come by name, or, if there are too many to keep and sort,
  as the disk lists them. Links are followed, and those that lead out of `root`
  give a warning: before the first folder behind one is walked, and at the end.
  A link to a folder that holds `root`, as one to `/` does, is not followed: it
  would lead through the whole disk.
  """
  if storage.is_remote(root):
    for path, size, mtime_ns in object_store.walk(root):
      yield entries.Entry(path, 0, size, mtime_ns)
  else:
    yield from _walk_local(root)


def _walk_local(root: str) -> Iterator[entries.Entry]:
  links = _Links(root)
  seen: set[tuple[int, int]] = set()  # Links may lead in a circle.
  todo = collections.deque([''])
  while todo:
    below = todo.popleft()
    try:
      status = os.stat(os.path.join(root, below))
      if (status.st_dev, status.st_ino) not in seen:
        seen.add((status.st_dev, status.st_ino))
        yield from _files(root, below, links, todo)
    except OSError as e:
      if not below:
        raise
      problem = f'an unreadable folder ({e.strerror})'
      yield entries.Entry(below, problem=problem)
  links.warn()


def _files(
  root: str, below: str, links: _Links, todo: collections.deque[str]
) -> Iterator[entries.Entry]:
  """Yields the files of one folder; its subfolders are put in `todo`."""
  subfolders = []
  with os.scandir(os.path.join(root, below)) as children:
    first = list(itertools.islice(children, _SORTED))
    if len(first) < _SORTED:
      first.sort(key=operator.attrgetter('name'))
    first.reverse()
    # Each is let go in its turn: it keeps what `stat` says of it.
    in_turn = (first.pop() for _ in range(len(first)))
    for child in itertools.chain(in_turn, children):
      path = f'{below}{child.name}'
      try:
        status = child.stat()
      except OSError as e:
        broken = isinstance(e, FileNotFoundError)
        problem = 'a broken link' if broken else f'unreadable ({e.strerror})'
        yield entries.Entry(path, problem=problem)
        continue
      is_folder = stat.S_ISDIR(status.st_mode)
      if child.is_symlink() and not links.may_follow(path, is_folder):
        problem = 'a link to a folder that holds this one'
        yield entries.Entry(f'{path}/', problem=problem)
      elif is_folder:
        subfolders.append(f'{path}/')
      else:
        regular = stat.S_ISREG(status.st_mode)
        problem = '' if regular else storage.kind_of(status.st_mode)
        mtime_ns = storage.mtime_ns(status)
        yield entries.Entry(path, 0, status.st_size, mtime_ns, problem)
  links.warn_before_following()
  todo.extend(sorted(subfolders))


class _Links:
  """Counts the links that lead out of a folder, and warns of them."""

  def __init__(self, root: str):
    self._root = root
    self._real_root = os.path.realpath(root)
    self._num_outside = self._folders = 0
    self._outside: list[str] = []  # The first few.
    self._warned = False

  def may_follow(self, path: str, is_folder: bool) -> bool:
    """Whether to follow a link."""
    target = os.path.realpath(os.path.join(self._root, path))
    common = os.path.commonpath([target, self._real_root])
    if common == target != self._real_root and is_folder:
      return False
    if common != self._real_root:
      self._num_outside += 1
      self._outside = [*self._outside, path][:_KEPT]
      self._folders += is_folder
    return True

  def warn_before_following(self) -> None:
    """Warns before the first folder outside is walked: that may take long."""
    if self._folders and not self._warned:
      self._warned = True
      self.warn()

  def warn(self) -> None:
    """Warns of the links that were met since the last warning."""
    if self._outside:
      warnings.warn(
        f'{self._root}: {self._num_outside:,} links lead out of the folder and '
        f'are followed: {errors.some(self._outside)}',
        stacklevel=2,
      )
    self._num_outside, self._outside = 0, []
