"""Where images come from: a folder, or a tar read in place.

A source lists its files once, for the plan, and opens to read them one by one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import shlex
import stat
import warnings
import zlib
from collections.abc import Iterator
from typing import ClassVar, Protocol

from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.inputs import entries, folders, tar_index

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
    """See `folders.walk`."""
    return folders.walk(self.path)

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
  """The images in a tar, read in place by offset; it is never extracted."""

  path: str
  kind: ClassVar[str] = 'tar'

  def entries(self) -> Iterator[entries.Entry]:
    """Yields every member, in the tar's order; see `tar_index.read_index`."""
    with storage.open_random(self.path) as file:
      end = yield from tar_index.read_index(file, self.path)
      # Tools write zeros up to a round size; other tools read on after them.
      rest = file.read(_MORE, end)
      if rest.strip(b'\0'):
        problem = (
          'data behind its end (archives put together? Unpack all of them: '
          f'tar --ignore-zeros -xf {shlex.quote(self.path)})'
        )
        yield entries.Entry('/', end, 0, file.mtime_ns, problem)
      elif len(rest) < tar_index.END:
        warnings.warn(
          f'{self.path}: the tar is not finished: the zeros that end a tar are '
          'missing. Its members are whole, but if the tool that wrote it was '
          'stopped, some are missing at the end',
          stacklevel=2,
        )

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


def _changed(path: str, file: storage.RandomReader) -> bool:
  """Whether the file at `path` is no longer what was opened."""
  return storage.state_of(path) != (file.size, file.mtime_ns)
