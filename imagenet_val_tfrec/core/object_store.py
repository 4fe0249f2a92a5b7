"""Object stores, `gs://` and `s3://`, by fsspec; what `storage` does there.

There are no folders in a store, only names with slashes in them. Nothing can be
renamed: it is copied, then deleted. What is written is there, whole, once it is
closed, and not before.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from etils.epath import backend

from imagenet_val_tfrec.core import errors

# What to install for each.
_EXTRAS = {'gs': 'gcs', 's3': 's3'}
_BY_TENSORFLOW = 'EPATH_USE_TF'
# What readers of a dataset look for first: the last to come, the first to go.
_LAST = '/dataset_info.json'
# Bytes of a request where a read follows another one, and how far behind it.
_AHEAD, _NEAR = 4 << 20, 1 << 20


class Status(NamedTuple):
  """What a store says of an object."""

  path: str  # Below the folder that was walked.
  size: int  # In bytes.
  mtime_ns: int  # In whole seconds: stores tell fractions only now and then.


@contextlib.contextmanager
def store(path: str) -> Iterator[Any]:
  """Gives the file system of a path, for one call.

  It is the one that `epath` has, so that TFDS sees what is done here. All that
  its client raises becomes an OSError that names the path. InputError says that
  there is no such kind of store, or that it needs an extra.
  """
  scheme = path.partition('://')[0]
  if scheme not in _EXTRAS:
    raise errors.InputError(
      f'{path}: expected a path of this machine, or one that begins with '
      + ' or '.join(f'{scheme}://' for scheme in _EXTRAS)
    )
  try:
    system = backend.fsspec_backend.fs(path)
  except ImportError as e:
    raise errors.InputError(
      f"{path}: {e}: pip install 'imagenet_val_tfrec[{_EXTRAS[scheme]}]'"
    ) from e
  system.invalidate_cache()  # Others write there, too.
  # It logs what it raises, with tracebacks; GCSFS_DEBUG brings that back.
  logging.getLogger('gcsfs').setLevel(logging.CRITICAL)
  try:
    yield system
  except FileNotFoundError as e:
    words = os.strerror(errno.ENOENT)
    raise FileNotFoundError(errno.ENOENT, words, path) from e
  except Exception as e:  # Each client has its own.
    words = getattr(e, 'strerror', None) or f'{type(e).__name__}: {e}'
    raise OSError(errno.EIO, ' '.join(words.split()), path) from e


def check_for_tfds(path: str) -> None:
  """Checks that a store can be reached; and not by TensorFlow: it has no S3."""
  if os.environ.get(_BY_TENSORFLOW, '').lower() != 'false':
    raise errors.InputError(
      f'{path}: TFDS would reach it by TensorFlow. Set {_BY_TENSORFLOW}=false '
      'in the environment, before Python starts'
    )
  kind(path)


def kind(path: str) -> str:
  """Returns 'file' or 'directory'; '' if there is neither."""
  with contextlib.suppress(FileNotFoundError), store(path) as system:
    return str(system.info(path)['type'])
  return ''


def status(path: str) -> Status:
  """Returns what the store says of an object; OSError if there is none."""
  with store(path) as system:
    found = system.info(path)
  if found['type'] != 'file':
    raise IsADirectoryError(errno.EISDIR, 'a folder, expected a file', path)
  return _status('', found)


def names_in(folder: str) -> list[str]:
  """Returns the names in a folder; none if it is not there."""
  with contextlib.suppress(FileNotFoundError), store(folder) as system:
    paths = system.ls(folder, detail=False)
    return [path.rpartition('/')[2] for path in paths if path[-1] != '/']
  return []


def walk(root: str) -> Iterator[Status]:
  """Yields all objects below a folder."""
  above = len(_inside(root)) + 1
  with store(root) as system:
    for folder, _, files in system.walk(root, detail=True):
      for name, found in files.items():
        if name:  # Not what stands for the folder itself.
          yield _status(f'{folder}/{name}'[above:], found)


def write(path: str, content: bytes) -> None:
  """Writes an object."""
  with store(path) as system:
    system.pipe_file(path, content)


def put(path: str, target: str) -> None:
  """Copies a file of this machine to an object."""
  with store(target) as system:
    system.put_file(path, target)


def move(path: str, target: str) -> None:
  """Gives an object another name, or all objects in a folder."""
  with store(path) as system:
    names = _names(system, path)
    above = len(_inside(path))
    for part in (names[:-1], names[-1:]):
      system.copy(part, [f'{target}{name[above:]}' for name in part])
    _remove(system, names)


def remove(path: str) -> None:
  """Removes an object, or all objects in a folder, if there are any."""
  with contextlib.suppress(FileNotFoundError), store(path) as system:
    _remove(system, _names(system, path))


class Upload:
  """An object that is being written."""

  def __init__(self, path: str):
    self._path = path
    with store(path) as system:
      self._file = system.open(path, 'wb')

  def write(self, data: bytes) -> None:
    """Writes more."""
    with store(self._path):
      self._file.write(data)

  def close(self) -> None:
    """Ends the object, which is there from now on."""
    with store(self._path):
      self._file.close()


class Reader:
  """A `storage.RandomReader` of an object.

  Reads that follow each other, as in a tar's order, are answered from a few
  large requests; any other is a request of its own.
  """

  def __init__(self, path: str):
    _, self.size, self.mtime_ns = status(path)
    self._path = path
    self._lock = threading.Lock()
    self._start, self._data = 0, b''  # What was fetched last.
    self._next = -1  # Where the last read ended.

  def read(self, size: int, offset: int) -> bytes:
    """Returns `size` bytes at `offset`, fewer only at the object's end."""
    size = min(size, self.size - offset)
    if size <= 0:  # There is no such range to ask for.
      return b''
    with self._lock:
      if not 0 <= offset - self._start <= len(self._data) - size:
        follows = self._next >= 0 and 0 <= offset - self._next <= _NEAR
        end = min(offset + max(size, follows * _AHEAD), self.size)
        with store(self._path) as system:
          self._data = system.cat_file(self._path, start=offset, end=end)
        self._start = offset
        if len(self._data) != end - offset:
          raise OSError(errno.EIO, 'changed while it was read', self._path)
      self._next = offset + size
      at = offset - self._start
      return self._data[at : at + size]

  def close(self) -> None:
    """Forgets what it has read."""
    self._data = b''


class Stream(io.RawIOBase):
  """An object as a file, to be read from its start."""

  def __init__(self, path: str):
    self._reader, self._position = Reader(path), 0

  def readable(self) -> bool:
    """Returns True."""
    return True

  def readinto(self, buffer: Any) -> int:
    """Reads the next bytes into the buffer; returns how many."""
    data = self._reader.read(len(buffer), self._position)
    buffer[: len(data)] = data
    self._position += len(data)
    return len(data)


def _inside(path: str) -> str:
  """Returns a path without its scheme, as fsspec names what it has found."""
  return path.partition('://')[2].rstrip('/')


def _names(system: Any, path: str) -> list[str]:
  names = sorted(system.find(path), key=lambda name: name.endswith(_LAST))
  if not names:
    raise FileNotFoundError(path)
  return names


def _remove(system: Any, names: Sequence[str]) -> None:
  for part in (names[-1:], names[:-1]):
    if part:
      system.rm(part)


def _status(path: str, found: dict[str, Any]) -> Status:
  modified = found.get('mtime') or found['LastModified']
  return Status(path, found['size'], int(modified.timestamp()) * 10**9)
