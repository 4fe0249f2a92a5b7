"""Where images come from: a folder, or a tar read in place.

A source lists its files once, for the plan, and opens to read them one by one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import re
import shlex
import stat
import warnings
import zlib
from collections.abc import Iterator
from typing import ClassVar, Protocol

from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.inputs import entries, tar_index

_CLASS_TAR = re.compile(r'(n[0-9]{8})\.tar')
_MORE = 1 << 20  # Bytes behind a tar's end that are looked at.
# Errors that are not the image's fault: the next one would have them, too.
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class SourceError(errors.InputError):
  """An image source, or a file in it, that cannot be used."""


class Reader(Protocol):
  """Reads images; used by one thread, though safe for many."""

  def read(self, entry: entries.Entry) -> bytes:
    """Returns a whole file; SourceError if it is not what the entry says."""


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

  def entries(self) -> Iterator[entries.Entry]:
    """Yields every file once, in any order."""

  def children(self) -> Iterator[tuple[str, bool]]:
    """Yields names at the top, some twice, and whether they are folders."""

  def below(self, folder: str) -> ImageSource:
    """Returns what is in one of its folders."""

  def state(self, of_entries: int | None = None) -> int:
    """Returns what changes when a file is added, removed or changed.

    If its entries were walked just now, the sum of their states is given.
    """

  def open(self) -> contextlib.AbstractContextManager[Reader]:
    """Opens the source to read images."""


def open_source(path: str) -> ImageSource:
  """Returns the folder (subfolders count) or tar (not compressed) at `path`.

  Raises FileNotFoundError if nothing is there, SourceError if it is neither.
  """
  path = os.path.expanduser(path)
  if storage.is_folder(path):
    return FolderSource(path)
  if not storage.exists(path):
    what = 'no such folder or tar; expected the images there'
    raise FileNotFoundError(f'{path}: {what}')
  if not storage.is_remote(path):
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):  # To open a device may do harm.
      kind = storage.kind_of(mode)
      raise SourceError(f'{path}: {kind}, expected a folder or a tar')
  return TarSource(path)


@dataclasses.dataclass(frozen=True)
class FolderSource:
  """The images in a folder and in its subfolders."""

  path: str
  kind: ClassVar[str] = 'folder'

  def entries(self) -> Iterator[entries.Entry]:
    """See `entries.walk`."""
    return entries.walk(self.path)

  def children(self) -> Iterator[tuple[str, bool]]:
    """Yields the names in the folder."""
    if storage.is_remote(self.path):
      yield from map(_top, self.entries())
    else:
      with os.scandir(self.path) as children:
        yield from ((child.name, child.is_dir()) for child in children)

  def below(self, folder: str) -> FolderSource:
    """Returns the subfolder."""
    return FolderSource(os.path.join(self.path, folder))

  def state(self, of_entries: int | None = None) -> int:
    """Returns the sum of the states of all files."""
    if of_entries is None:
      return sum(entry.state() for entry in self.entries())
    return of_entries

  @contextlib.contextmanager
  def open(self) -> Iterator[Reader]:
    """Opens the folder; its files are opened one by one."""
    yield _FolderReader(self.path)


@dataclasses.dataclass(frozen=True)
class TarSource:
  """The images in a tar, read in place by offset; it is never extracted.

  A tar in it that is named by a WordNet id, as in `ILSVRC2012_img_train.tar`,
  is taken for a folder of that name. `folder` is '', or the one of the tar's
  folders that is meant, with a slash at its end.
  """

  path: str
  folder: str = ''
  kind: ClassVar[str] = 'tar'

  def entries(self) -> Iterator[entries.Entry]:
    """Yields every member, in the tar's order; see `tar_index.read_index`."""
    with storage.open_random(self.path) as file:
      for entry in _members(file, self.path):
        if entry.path.startswith(self.folder) or entry.path == '/':
          path = entry.path.removeprefix(self.folder)
          tar = _CLASS_TAR.fullmatch(path)
          if tar and not entry.problem:
            yield from _inner(file, entry, f'{self.path}:{path}', tar[1])
          else:
            yield entry._replace(path=path)

  def children(self) -> Iterator[tuple[str, bool]]:
    """Yields the names at the tar's top, or at that of its folder."""
    with storage.open_random(self.path) as file:
      for entry in _members(file, self.path):
        if entry.path.startswith(self.folder):
          path = entry.path.removeprefix(self.folder)
          tar = _CLASS_TAR.fullmatch(path)
          yield (tar[1], True) if tar else _top(entry._replace(path=path))

  def below(self, folder: str) -> TarSource:
    """Returns one of its folders."""
    return TarSource(self.path, f'{self.folder}{folder}/')

  def state(self, of_entries: int | None = None) -> int:
    """Returns what changes when another tar is there; it is not walked."""
    del of_entries
    identity = repr(storage.identity_of(self.path))
    return zlib.crc32(identity.encode('utf-8', 'surrogateescape'))

  @contextlib.contextmanager
  def open(self) -> Iterator[Reader]:
    """Opens the tar; SourceError at its close if it was changed meanwhile."""
    with storage.open_random(self.path) as file:
      yield _TarReader(self.path, file)
      if _changed(self.path, file):
        raise SourceError(f'{self.path} changed while it was read; build again')


@dataclasses.dataclass(frozen=True)
class _FolderReader:
  path: str

  def read(self, entry: entries.Entry) -> bytes:
    path = os.path.join(self.path, entry.path)
    remote = storage.is_remote(path)
    try:
      with storage.open_random(path) as file:
        if (file.size, file.mtime_ns) != (entry.size, entry.mtime_ns):
          raise SourceError('changed since the build began; build again')
        data = file.read(entry.size, 0)
        # A store answers one request from one object.
        if len(data) != entry.size or (not remote and _changed(path, file)):
          raise SourceError('changed while it was read; build again')
    except FileNotFoundError as e:
      raise SourceError('vanished since the build began') from e
    except OSError as e:
      if remote or e.errno in _OUT_OF_RESOURCES:
        raise
      raise SourceError(f'cannot be read: {e.strerror or e}') from e
    return data


@dataclasses.dataclass(frozen=True)
class _TarReader:
  path: str
  file: storage.RandomReader

  def read(self, entry: entries.Entry) -> bytes:
    data = self.file.read(entry.size, entry.offset)
    if self.file.mtime_ns != entry.mtime_ns or len(data) != entry.size:
      raise SourceError(f'{self.path} changed since the build began')
    return data


def _members(file: storage.RandomReader, tar: str) -> Iterator[entries.Entry]:
  end = yield from tar_index.read_index(file, tar)
  # Tools write zeros up to a round size; other tools read on after them.
  rest = file.read(_MORE, end)
  if rest.strip(b'\0'):
    problem = (
      'data behind its end (archives put together? Unpack all of them: '
      f'tar --ignore-zeros -xf {shlex.quote(tar)})'
    )
    yield entries.Entry('/', end, 0, file.mtime_ns, problem)
  elif len(rest) < tar_index.END:
    warnings.warn(
      f'{tar}: the tar is not finished: the zeros that end a tar are '
      'missing. Its members are whole, but if the tool that wrote it was '
      'stopped, some are missing at the end',
      stacklevel=2,
    )


@dataclasses.dataclass
class _Window:
  """A file within a file."""

  file: storage.RandomReader
  start: int
  size: int
  mtime_ns: int

  def read(self, size: int, offset: int) -> bytes:
    size = max(0, min(size, self.size - offset))
    return self.file.read(size, self.start + offset)

  def close(self) -> None:
    """Leaves the file open."""


def _inner(
  file: storage.RandomReader, tar: entries.Entry, path: str, folder: str
) -> Iterator[entries.Entry]:
  """Yields the members of a tar in a tar, as in a folder."""
  window = _Window(file, tar.offset, tar.size, file.mtime_ns)
  for entry in tar_index.read_index(window, path):
    inside = f'{folder}/{entry.path}'.rstrip('/')
    yield entry._replace(path=inside, offset=tar.offset + entry.offset)


def _top(entry: entries.Entry) -> tuple[str, bool]:
  name, slash, _ = entry.path.partition('/')
  return name, bool(slash) or entry.problem == 'a folder'


def _changed(path: str, file: storage.RandomReader) -> bool:
  """Whether the file at `path` is no longer what was opened."""
  return storage.state_of(path) != (file.size, file.mtime_ns)
