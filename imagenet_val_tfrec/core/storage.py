"""Files on this machine by system calls, and those in object stores.

A path is a string; one with `://` in it (`gs://bucket/…`) is remote.

What `sync` has returned for stays, though the machine may lose its power; the
rest may be lost, or be half there, until the system gets round to it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from typing import IO, Protocol

from imagenet_val_tfrec.core import errors, object_store

# For scratch data: 1 leaves all syncing to the system.
NO_SYNC = 'IMAGENET_VAL_TFREC_NO_SYNC'

_KINDS = {
  stat.S_IFDIR: 'a folder',
  stat.S_IFIFO: 'a FIFO',
  stat.S_IFSOCK: 'a socket',
  stat.S_IFREG: 'a file',
}


def is_remote(path: str) -> bool:
  """Whether the path is not one of this machine's."""
  return '://' in path


def check_for_tfds(path: str) -> None:
  """Raises InputError if the path is remote and TFDS cannot reach it."""
  if is_remote(path):
    object_store.check_for_tfds(path)


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
    kind = kind_of(os.stat(path).st_mode)
    if kind != 'a file':  # To open a device may do harm.
      raise OSError(f'{errors.quoted(path)}: {kind}, expected a file')
    # Non-blocking, as it may have become a FIFO meanwhile.
    self._fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    status = os.fstat(self._fd)
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


@contextlib.contextmanager
def open_random(path: str) -> Iterator[RandomReader]:
  """Opens a regular file to read anywhere in it; OSError if it is none."""
  opened = object_store.Reader if is_remote(path) else _LocalReader
  with contextlib.closing(opened(path)) as reader:
    yield reader


def open_file(path: str) -> IO[bytes]:
  """Opens a regular file, to be read from its start; OSError if it is none."""
  if is_remote(path):
    return io.BufferedReader(object_store.Stream(path))
  with open_random(path):  # Refuses what is not a file before it is read.
    pass
  return open(path, 'rb')


def exists(path: str) -> bool:
  """Whether there is anything at that path."""
  if is_remote(path):
    return object_store.kind(path) != ''
  return os.path.lexists(path)


def is_folder(path: str) -> bool:
  """Whether the path is a folder."""
  if is_remote(path):
    return object_store.kind(path) == 'directory'
  return os.path.isdir(path)


def names_in(folder: str) -> list[str]:
  """Returns the names in a folder, sorted.

  In a store a folder without names is not there, and has none.
  """
  remote = is_remote(folder)
  return sorted((object_store.names_in if remote else os.listdir)(folder))


def size_of(path: str) -> int:
  """Returns the size of a file in bytes."""
  return state_of(path)[0]


def state_of(path: str) -> tuple[int, int]:
  """Returns a file's size in bytes, and when it was changed last, in ns."""
  if is_remote(path):
    return object_store.status(path)[1:]
  status = os.stat(path)
  return status.st_size, mtime_ns(status)


def identity_of(path: str) -> tuple[object, ...]:
  """Returns what changes when another file comes to stand at a path.

  Size and mtime alone may be those of another one, as after `cp -p`.
  """
  if is_remote(path):
    return path, *state_of(path)
  status = os.stat(path)
  inode = status.st_dev, status.st_ino, status.st_ctime_ns
  return os.path.realpath(path), status.st_size, status.st_mtime_ns, *inode


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


def create(path: str) -> int:
  """Opens a new file of this machine, or an old one that is emptied, to write.

  Where the system can, the bytes go to the disk past its page cache, as they
  will be synced: that costs half as much of the processors. A write then must
  be of whole pages in file and memory; after `write_cached` it may be any.
  """
  flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
  if _syncs() and hasattr(os, 'O_DIRECT'):
    try:
      return os.open(path, flags | os.O_DIRECT, 0o666)
    except OSError as e:
      if e.errno != errno.EINVAL:
        raise
  return os.open(path, flags, 0o666)


def write_cached(descriptor: int) -> None:
  """Lets the writes that follow go through the page cache."""
  if hasattr(os, 'O_DIRECT'):
    import fcntl

    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)


def _syncs() -> bool:
  return os.environ.get(NO_SYNC) != '1'


def make_folder(path: str) -> None:
  """Makes a folder, and those above it, if they do not exist; syncs them."""
  if not is_remote(path) and not os.path.isdir(path):
    above = os.path.dirname(os.path.abspath(path))
    make_folder(above)
    try:
      os.mkdir(path)
    except FileExistsError as e:
      if not os.path.isdir(path):
        raise NotADirectoryError(
          errno.ENOTDIR, 'a file, expected a folder', path
        ) from e
    sync(above)


@contextlib.contextmanager
def filled_here(folder: str) -> Iterator[str]:
  """Gives a new folder of this machine to fill; what is in it goes to `folder`.

  TFDS fills it, and renames in it, which no store can.
  """
  if not is_remote(folder):
    yield folder
    return
  with tempfile.TemporaryDirectory() as above:
    here = os.path.join(above, *folder.split('/')[-3:])
    yield here
    for name in names_in(here):
      object_store.put(os.path.join(here, name), os.path.join(folder, name))


def replace(path: str, target: str) -> None:
  """Renames a file; an existing `target` is replaced at that instant."""
  (object_store.move if is_remote(path) else os.replace)(path, target)


def link(path: str, target: str) -> None:
  """Gives a file a second name; where links are impossible, renames it.

  Raises FileExistsError if there is a file of that name.
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
    object_store.remove(path)
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
  """Returns the free space where `folder` will be; None if it is remote."""
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
  return _KINDS.get(stat.S_IFMT(mode), 'a device')
