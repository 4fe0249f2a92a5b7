"""Where images come from: a folder, or a tar read in place.

A source lists its files once, for the plan, and opens to read them one by one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
import warnings
from collections.abc import Iterator
from typing import ClassVar, NamedTuple, Protocol

from etils import epath

from imagenet_val_tfrec import errors, storage, tar_index


class SourceError(errors.InputError):
  """An image source, or a file in it, that cannot be used."""


class Entry(NamedTuple):
  """One file of a source.

  Attributes:
    path: Relative to the source, `/` between folders.
    offset: Of its first byte, in the tar (0 in a folder).
    size: In bytes.
    mtime_ns: When it was changed last; in a tar, when the tar was.
    problem: What it is if not a plain file, e.g. `'a FIFO'`, else ''.
  """

  path: str
  offset: int
  size: int
  mtime_ns: int
  problem: str


class Reader(Protocol):
  """Reads images; used by one thread, though safe for many."""

  def read(self, entry: Entry) -> bytes:
    """Returns the whole file.

    Raises:
      SourceError: if it is no longer what the entry says.
    """


class ImageSource(Protocol):
  """A place with images.

  Sources are small and picklable: they hold a path, not its contents. Each
  `open()` is independent of all others, so any thread or process may call it.
  """

  @property
  def kind(self) -> str:
    """Its kind in a word, for people."""

  @property
  def path(self) -> str:
    """Where it is."""

  def entries(self) -> Iterator[Entry]:
    """Yields every file once, in an order that is always the same."""

  def open(self) -> contextlib.AbstractContextManager[Reader]:
    """Opens the source to read images."""


def open_source(path: str) -> ImageSource:
  """Returns the source at `path`.

  Args:
    path: A folder (subfolders count), or a tar (not compressed).

  Raises:
    FileNotFoundError: if nothing is there.
  """
  path = os.path.expanduser(path)
  if storage.is_folder(path):
    return FolderSource(path)
  if storage.exists(path):
    return TarSource(path)
  raise FileNotFoundError(
    f'{path}: no such folder or tar; expected the images there'
  )


@dataclasses.dataclass(frozen=True)
class FolderSource:
  """The images in a folder and in its subfolders."""

  path: str
  kind: ClassVar[str] = 'folder'

  def entries(self) -> Iterator[Entry]:
    """Yields every file, by name, those of a folder before its subfolders'."""
    if storage.is_remote(self.path):
      yield from _remote_entries(epath.Path(self.path), '')
    else:
      yield from _local_entries(self.path)

  @contextlib.contextmanager
  def open(self) -> Iterator[Reader]:
    """Opens the folder; its files are opened one by one."""
    yield _FolderReader(self.path)


@dataclasses.dataclass(frozen=True)
class TarSource:
  """The images in a tar, read in place by offset; it is never extracted."""

  path: str
  kind: ClassVar[str] = 'tar'

  def entries(self) -> Iterator[Entry]:
    """Yields every member, in the tar's order.

    Raises:
      tar_index.TarError: if the tar is damaged, cut or compressed.
    """
    with storage.open_random(self.path) as file:
      for member in tar_index.read_index(file, self.path):
        yield Entry(
          member.name.removeprefix('./'),
          member.offset,
          member.size,
          file.mtime_ns,
          member.problem,
        )

  @contextlib.contextmanager
  def open(self) -> Iterator[Reader]:
    """Opens the tar."""
    with storage.open_random(self.path) as file:
      yield _TarReader(self.path, file)


@dataclasses.dataclass(frozen=True)
class _FolderReader:
  path: str

  def read(self, entry: Entry) -> bytes:
    path = os.path.join(self.path, entry.path)
    try:
      with storage.open_random(path) as file:
        if (file.size, file.mtime_ns) != (entry.size, entry.mtime_ns):
          raise SourceError('changed since the build began; build again')
        data = file.read(entry.size, 0)
    except FileNotFoundError as e:
      raise SourceError('vanished since the build began') from e
    if len(data) != entry.size:
      raise SourceError('changed while it was read; build again')
    return data


@dataclasses.dataclass(frozen=True)
class _TarReader:
  path: str
  file: storage.RandomReader

  def read(self, entry: Entry) -> bytes:
    data = self.file.read(entry.size, entry.offset)
    if self.file.mtime_ns != entry.mtime_ns or len(data) != entry.size:
      raise SourceError(f'{self.path} changed since the build began')
    return data


def _local_entries(root: str) -> Iterator[Entry]:
  """Walks a folder of this machine; follows links, but no folder twice."""
  outside: list[str] = []
  real_root = os.path.realpath(root)
  seen: set[tuple[int, int]] = set()
  todo = ['']
  while todo:
    below = todo.pop(0)
    folder = os.path.join(root, below)
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in seen:
      continue
    seen.add((status.st_dev, status.st_ino))
    with os.scandir(folder) as children:
      found = sorted(children, key=lambda child: child.name)
    for child in found:
      path = f'{below}{child.name}'
      try:
        status = child.stat()
      except OSError:  # A link that leads nowhere.
        yield Entry(path, 0, 0, 0, 'a broken link')
        continue
      if child.is_symlink() and _leads_outside(child.path, real_root):
        outside.append(path)
      if stat.S_ISDIR(status.st_mode):
        todo.append(f'{path}/')
        continue
      regular = stat.S_ISREG(status.st_mode)
      problem = '' if regular else storage.kind_of(status.st_mode)
      yield Entry(path, 0, status.st_size, status.st_mtime_ns, problem)
  if outside:
    warnings.warn(
      f'{root}: {len(outside):,} links lead out of the folder and are '
      f'followed: {errors.some(outside)}',
      stacklevel=2,
    )


def _leads_outside(path: str, real_root: str) -> bool:
  target = os.path.realpath(path)
  return os.path.commonpath([target, real_root]) != real_root


def _remote_entries(folder: epath.Path, below: str) -> Iterator[Entry]:
  children = sorted(folder.iterdir(), key=lambda child: child.name)
  folders = []
  for child in children:
    status = child.stat()
    path = f'{below}{child.name}'
    if status.is_directory:
      folders.append((child, f'{path}/'))
    else:
      yield Entry(path, 0, status.length, int(status.mtime * 1e9), '')
  for child, path in folders:
    yield from _remote_entries(child, path)
