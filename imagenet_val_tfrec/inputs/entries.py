"""Files of a source: their names, and where they are; those of a folder.

Names are relative paths, with `/` between folders.
"""

from __future__ import annotations

import collections
import itertools
import operator
import os
import re
import stat
import warnings
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from imagenet_val_tfrec.core import errors, object_store, storage

MOST_BYTES = 4096  # As PATH_MAX of Linux.
_CONTROL = re.compile('[\x00-\x1f\x7f-\x9f]')
_SORTED = 100_000  # Files.
_KEPT = 4  # Names for a message; one more than it shows.


class Entry(NamedTuple):
  """One file of a source.

  Its path ends in `/` if it is not a file but may hold more of them: a folder
  that cannot be walked, or, as `/`, what follows the end of a tar.
  """

  path: str  # Relative to the source.
  offset: int = 0  # Of its first byte, in a tar.
  size: int = 0  # In bytes.
  mtime_ns: int = 0  # When it was changed last; in a tar, when the tar was.
  problem: str = ''  # What it is if not a plain file, e.g. 'a FIFO'.

  def state(self) -> int:
    """Returns what changes with name, size or time; the same in any process."""
    name = zlib.crc32(self.path.encode('utf-8', 'surrogateescape'))
    return hash((name, self.size, self.mtime_ns))


def normalise(name: str) -> str:
  """Returns the name without empty parts and `.`: `a/b` for `./a//b`.

  An absolute name stays absolute; `..` stays. Where nothing is left it is ''.
  """
  parts = [part for part in name.split('/') if part not in ('', '.')]
  return ('/' if name.startswith('/') else '') + '/'.join(parts)


def leads_out(name: str) -> bool:
  """Whether the name is absolute or has a `..` in it."""
  return name.startswith('/') or ('..' in name and '..' in name.split('/'))


def is_too_long(name: str) -> bool:
  """Whether the name takes more than `MOST_BYTES`, so no disk can have it."""
  return len(name) * 4 > MOST_BYTES and (
    len(name.encode('utf-8', 'surrogateescape')) > MOST_BYTES
  )


def labelled_name(name: str) -> str:
  """Returns the name normalised; raises ValueError if it cannot be used."""
  problem = ''
  if not (name.isascii() and name.isprintable()) and _CONTROL.search(name):
    problem = 'control character in name {}'
  elif is_too_long(name):
    problem = f'a name of more than {MOST_BYTES:,} bytes: {{}}'
  elif name.startswith('/'):
    problem = 'absolute name {}, expected one relative to the image folder'
  elif leads_out(name):
    problem = '".." in name {}'
  normal = normalise(name) if '/' in name else name
  if not problem and normal in ('', '.'):
    problem = '{} is not an image name'
  if problem:
    raise ValueError(problem.format(errors.quoted(name)))
  return normal


def walk(root: str) -> Iterator[Entry]:
  """Yields every file, those of a folder before its subfolders'.

  Within a folder they come by name, or, if there are too many to keep and sort,
  as the disk lists them. Links are followed, and those that lead out of `root`
  give a warning: before the first folder behind one is walked, and at the end.
  A link to a folder that holds `root`, as one to `/` does, is not followed: it
  would lead through the whole disk.
  """
  if storage.is_remote(root):
    for path, size, mtime_ns in object_store.walk(root):
      yield Entry(path, 0, size, mtime_ns)
  else:
    yield from _walk_local(root)


def _walk_local(root: str) -> Iterator[Entry]:
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
      yield Entry(below, problem=problem)
  links.warn()


def _files(
  root: str, below: str, links: _Links, todo: collections.deque[str]
) -> Iterator[Entry]:
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
        yield Entry(path, problem=problem)
        continue
      is_folder = stat.S_ISDIR(status.st_mode)
      if child.is_symlink() and not links.may_follow(path, is_folder):
        problem = 'a link to a folder that holds this one'
        yield Entry(f'{path}/', problem=problem)
      elif is_folder:
        subfolders.append(f'{path}/')
      else:
        regular = stat.S_ISREG(status.st_mode)
        problem = '' if regular else storage.kind_of(status.st_mode)
        mtime_ns = storage.mtime_ns(status)
        yield Entry(path, 0, status.st_size, mtime_ns, problem)
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
