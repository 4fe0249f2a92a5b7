"""Files on this machine by system calls, and any other path through `epath`.

A path is a string; one with `://` in it (`gs://bucket/…`) is remote.

What `sync` has returned for stays, though the machine may lose its power; the
rest may be lost, or be half there, until the system gets round to it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from typing import IO, Protocol

from etils import epath

from imagenet_val_tfrec.core import errors

# For scratch data: 1 leaves all syncing to the system.
NO_SYNC = 'IMAGENET_VAL_TFREC_NO_SYNC'


def is_remote(path: str) -> bool:
  """Whether the path is not one of this machine's."""
  return '://' in path


class RandomReader(Protocol):
  """Reads an open file anywhere; safe to share between threads."""

  size: int
  mtime_ns: int

  def read(self, size: int, offset: int) -> bytes:
    """Returns `size` bytes at `offset`, fewer only at the file's end."""

  def close(self) -> None:
    """Closes the file."""


class _LocalReader:
  """A `RandomReader` by `pread`."""

  def __init__(self, path: str):
    _check_regular(os.stat(path), path)  # To open a device may do harm.
    # Non-blocking, as it may have become a FIFO meanwhile.
    self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
      status = os.fstat(self._fd)
      _check_regular(status, path)
    except BaseException:
      os.close(self._fd)
      raise
    self._path = path
    self.size = status.st_size
    self.mtime_ns = mtime_ns(status)

  def read(self, size: int, offset: int) -> bytes:
    try:
      data = os.pread(self._fd, size, offset)
      while len(data) < size:
        more = os.pread(self._fd, size - len(data), offset + len(data))
        if not more:
          break
        data += more
    except OSError as e:
      e.filename = self._path  # A descriptor has no name.
      raise
    return data

  def close(self) -> None:
    os.close(self._fd)


def _check_regular(status: os.stat_result, path: str) -> None:
  if not stat.S_ISREG(status.st_mode):
    kind = kind_of(status.st_mode)
    raise OSError(f'{errors.quoted(path)}: {kind}, expected a file')


class _RemoteReader:
  """A `RandomReader` of a path that only `epath` knows."""

  def __init__(self, path: str):
    status = epath.Path(path).stat()
    self.size = status.length
    self.mtime_ns = int(status.mtime * 1e9)
    self._file = epath.Path(path).open('rb')
    self._lock = threading.Lock()

  def read(self, size: int, offset: int) -> bytes:
    with self._lock:
      self._file.seek(offset)
      data: bytes = self._file.read(size)
      return data

  def close(self) -> None:
    self._file.close()


@contextlib.contextmanager
def open_random(path: str) -> Iterator[RandomReader]:
  """Opens a file to read anywhere in it.

  Args:
    path: Of a regular file, here or remote.

  Raises:
    OSError: if there is none, or it is not a regular file.
  """
  reader: RandomReader
  reader = _RemoteReader(path) if is_remote(path) else _LocalReader(path)
  try:
    yield reader
  finally:
    reader.close()


def open_file(path: str) -> IO[bytes]:
  """Opens a regular file, to be read from its start.

  Raises:
    OSError: if there is none, or it is not a regular file.
  """
  if not is_remote(path):
    with open_random(path):  # Refuses what is not a file before it is read.
      pass
  file: IO[bytes] = epath.Path(path).open('rb')
  return file


def exists(path: str) -> bool:
  """Whether there is anything at that path."""
  if is_remote(path):
    return bool(epath.Path(path).exists())
  return os.path.lexists(path)


def is_folder(path: str) -> bool:
  """Whether the path is a folder."""
  return bool(epath.Path(path).is_dir())


def names_in(folder: str) -> list[str]:
  """Returns the names in a folder, sorted."""
  return sorted(child.name for child in epath.Path(folder).iterdir())


def size_of(path: str) -> int:
  """Returns the size of a file in bytes."""
  return state_of(path)[0]


def state_of(path: str) -> tuple[int, int]:
  """Returns a file's size in bytes, and when it was changed last, in ns."""
  if not is_remote(path):
    status = os.stat(path)
    return status.st_size, mtime_ns(status)
  status = epath.Path(path).stat()
  return status.length, int(status.mtime * 1e9)


def sync(path: str) -> None:
  """Waits until a file's bytes, or a folder's names, are on the disk.

  Not for remote paths, which are there once they are written.
  """
  if is_remote(path) or not _syncs():
    return
  descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
  try:
    os.fsync(descriptor)
  except OSError as e:
    if e.errno != errno.EINVAL:  # Folders, on some disks of a network.
      e.filename = path  # A descriptor has no name.
      raise
  finally:
    os.close(descriptor)


def begin_to_sync(descriptor: int, start: int, size: int) -> None:
  """Has the disk take some bytes of a file already, where that can be said."""
  if _syncs() and hasattr(os, 'posix_fadvise'):
    # Linux begins to write what is not needed; until it is written, it stays.
    os.posix_fadvise(descriptor, start, size, os.POSIX_FADV_DONTNEED)


def _syncs() -> bool:
  return os.environ.get(NO_SYNC) != '1'


def make_folder(path: str) -> None:
  """Makes a folder, and those above it, if they do not exist; syncs them."""
  if is_remote(path):
    epath.Path(path).mkdir(parents=True, exist_ok=True)
  elif not os.path.isdir(path):
    above = os.path.dirname(os.path.abspath(path))
    make_folder(above)
    try:
      os.mkdir(path)
    except FileExistsError:
      if not os.path.isdir(path):
        raise
    sync(above)


def replace(path: str, target: str) -> None:
  """Renames a file; an existing `target` is replaced at that instant."""
  epath.Path(path).replace(target)


def link(path: str, target: str) -> None:
  """Gives a file a second name; where links are impossible, renames it.

  Raises:
    FileExistsError: if there is a file of that name.
  """
  try:
    if is_remote(path):
      raise OSError('remote files have one name')
    os.link(path, target)
  except FileExistsError:
    raise
  except OSError as e:
    if errors.is_full(e):
      raise
    replace(path, target)


def remove(path: str) -> None:
  """Removes a file or a whole folder, if it is there."""
  if is_remote(path):
    target = epath.Path(path)
    if target.is_dir():
      target.rmtree(missing_ok=True)
    else:
      target.unlink(missing_ok=True)
  elif os.path.isdir(path) and not os.path.islink(path):
    shutil.rmtree(path)
  else:
    with contextlib.suppress(FileNotFoundError):
      os.unlink(path)


def exchange(path: str, other: str) -> bool:
  """Swaps two folders at one instant; False if that is impossible."""
  libc = ctypes.CDLL(None)
  if is_remote(path) or not hasattr(libc, 'renameat2'):
    return False
  here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
  paths = os.fsencode(path), os.fsencode(other)
  return not libc.renameat2(here, paths[0], here, paths[1], swap)


def free_bytes(folder: str) -> int | None:
  """Returns the free space on the disk of `folder`, which need not exist yet.

  None for remote paths, where it is unknown.
  """
  if is_remote(folder):
    return None
  folder = os.path.abspath(folder)
  while not os.path.isdir(folder):
    folder = os.path.dirname(folder)
  return shutil.disk_usage(folder).free


def mtime_ns(status: os.stat_result) -> int:
  """Returns when a file was changed last, as a number of 64 bits."""
  return max(-(1 << 63), min(status.st_mtime_ns, (1 << 63) - 1))


def kind_of(mode: int) -> str:
  """Says in words what a file of that `st_mode` is."""
  for is_it, kind in (
    (stat.S_ISDIR, 'a folder'),
    (stat.S_ISFIFO, 'a FIFO'),
    (stat.S_ISSOCK, 'a socket'),
    (stat.S_ISREG, 'a file'),
  ):
    if is_it(mode):
      return kind
  return 'a device'
