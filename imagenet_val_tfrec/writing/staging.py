"""The work directory: unfinished work is kept there until it is published.

It is a folder beside its target, named so that no reader takes it for data. One
process at a time owns it. What a dead one left is taken over: the shards of the
same plan are kept, the rest is removed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping

from absl import logging

from imagenet_val_tfrec.core import errors, small_files, storage
from imagenet_val_tfrec.records import sums

_OWNER = 'owner.json'
_WHO: small_files.Schema = {'pid': int, 'host': str, 'since': str}
_SHARDS = 'shards'
_GONE = '.gone'
_FULL = (
  '; nothing is kept. Make room, or choose a folder on another disk, and run '
  'this again'
)


class BusyError(errors.InputError):
  """Another process is building the same thing."""


@dataclasses.dataclass(frozen=True)
class WorkDir:
  """A folder for work that is not done, owned by this process."""

  path: str
  target: str  # What the work will be.

  @property
  def shards(self) -> str:
    """The folder of finished shards."""
    return os.path.join(self.path, _SHARDS)

  @property
  def old(self) -> str:
    """Where the old target is kept while it is replaced."""
    return os.path.join(self.path, 'old')

  def publish(self, folder: str) -> None:
    """Makes a folder of the work directory the target; replaces an old one.

    On Linux the two change places at one instant. Elsewhere, if the process
    dies between two renames, the next `open_work_dir` puts the old one back.
    What it returns from stays, though the machine may lose its power.
    """
    seal(folder, sums.read(folder) or {})
    storage.make_folder(os.path.dirname(self.target))
    if not storage.exists(self.target):
      storage.replace(folder, self.target)
    elif not storage.exchange(folder, self.target):
      storage.replace(self.target, self.old)
      try:
        storage.replace(folder, self.target)
      except BaseException:
        _put_back(self)
        raise
    storage.sync(os.path.dirname(self.target))
    storage.sync(os.path.dirname(folder))


def seal(folder: str, known: Mapping[str, str]) -> None:
  """Writes `SHA256SUMS` of all files in a folder, and syncs all of them.

  Those whose SHA-256 is `known`, by their names, are synced already.
  """
  digests = {}
  for name in storage.names_in(folder):
    path = os.path.join(folder, name)
    if name in known:
      digests[name] = known[name]
    elif name != sums.FILENAME:
      storage.sync(path)
      digests[name] = sums.of_file(path)
  sums.write(folder, digests)
  storage.sync(folder)


def beside(target: str) -> str:
  """Returns where to work on a version folder: where TFDS sees no dataset.

  It takes what is beside a version for versions, but what is beside a config
  for a config only if it holds a version.
  """
  above, version = os.path.split(target)
  above, config = os.path.split(above)
  return os.path.join(above, f'incomplete.{config}.{version}')


def _put_back(work_dir: WorkDir) -> None:
  """Puts back a target that was about to be replaced."""
  is_whole = os.path.join(work_dir.target, 'dataset_info.json')
  if storage.exists(work_dir.old) and not storage.exists(is_whole):
    storage.remove(work_dir.target)  # In a store, what is there of it.
    storage.replace(work_dir.old, work_dir.target)
    storage.sync(os.path.dirname(work_dir.target))


@contextlib.contextmanager
def open_work_dir(
  path: str, target: str, put_back: Callable[[WorkDir], None] = _put_back
) -> Iterator[WorkDir]:
  """Opens a work directory, alone; removes it when the work is done.

  When the process is interrupted it stays, and its finished shards with it, for
  the next one to take over. After any other error nothing stays. It must be on
  the target's disk; `put_back` undoes what a dead process began to publish.
  Raises BusyError if another process has it open.
  """
  with _ownership(path):
    work_dir = WorkDir(path, target)
    put_back(work_dir)
    for name in storage.names_in(path):
      if name not in (_OWNER, _SHARDS):
        storage.remove(os.path.join(path, name))
    _sweep(path)
    try:
      yield work_dir
    except (KeyboardInterrupt, SystemExit, errors.LostWorkerError):
      advice = 'run the same command to continue'
      logging.warning(f'interrupted; finished work stays in {path}; {advice}')
      raise
    except BaseException as e:
      # A worker that still runs may get in the way; the first error counts.
      if not storage.exists(work_dir.old):
        with contextlib.suppress(OSError):
          _remove(path)
      if isinstance(e, OSError) and errors.is_full(e):
        raise OSError(e.errno, f'{e.strerror}{_FULL}', e.filename) from e
      raise
    with contextlib.suppress(OSError):
      _remove(path)


def check_absent(target: str, overwrite: bool, advice: str) -> None:
  """Raises InputError if the target is there, and is not to be replaced."""
  if storage.exists(target) and not overwrite:
    raise errors.InputError(f'{target}: there is a dataset already. {advice}')


def clear(path: str, target: str) -> None:
  """Removes what a dead process left at `path` after it had published.

  Finished shards that are not the target's are kept: another build, of an
  `--overwrite`, may still use them. On a disk that is only read, all stays.
  """
  with contextlib.suppress(OSError, BusyError):
    _sweep(path)
    shards = os.path.join(path, _SHARDS)
    if storage.exists(path) and all(
      _is_same(os.path.join(shards, name), os.path.join(target, name))
      for name in storage.names_in(shards)
      if not name.endswith(('.json', '.part'))
    ):
      with open_work_dir(path, target):
        pass


def _is_same(path: str, other: str) -> bool:
  """Whether two names are of one file; in a store each file has one name."""
  remote = storage.is_remote(path)
  return not remote and storage.exists(other) and os.path.samefile(path, other)


def _sweep(path: str) -> None:
  """Removes what an earlier process renamed to remove it, and did not."""
  above, work_dir_name = os.path.split(path)
  for name in storage.names_in(above):
    if name.startswith(f'{work_dir_name}.') and name.endswith(_GONE):
      with contextlib.suppress(OSError):
        storage.remove(os.path.join(above, name))


@contextlib.contextmanager
def _ownership(path: str) -> Iterator[None]:
  owner = os.path.join(path, _OWNER)
  since = time.strftime('%Y-%m-%d %H:%M:%S')
  who = {'pid': os.getpid(), 'host': socket.gethostname(), 'since': since}
  if storage.is_remote(path):
    # There are no locks, so the owner's note must do.
    if storage.exists(owner) and not _is_own_and_dead(owner):
      raise _busy(path, owner)
    small_files.write_text(owner, json.dumps(who))
    yield
    return
  descriptor = _lock(path, owner)
  try:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(who).encode(), 0)
    yield
  finally:
    os.close(descriptor)


def _lock(path: str, owner: str) -> int:
  """Returns the owner's file, open and locked."""
  import fcntl

  while True:
    storage.make_folder(os.path.join(path, _SHARDS))
    try:
      descriptor = os.open(owner, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except FileNotFoundError:  # The last owner removed it just now.
      continue
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      if os.path.samestat(os.fstat(descriptor), os.stat(owner)):
        return descriptor
    except BlockingIOError as e:
      os.close(descriptor)
      raise _busy(path, owner) from e
    except FileNotFoundError:
      pass
    except OSError:  # There are no locks on that disk.
      os.close(descriptor)
      raise
    os.close(descriptor)


def _remove(path: str) -> None:
  """Removes it; whoever opens it meanwhile gets one of its own."""
  gone = path
  if not storage.is_remote(path):
    gone = f'{path}.{uuid.uuid4().hex}{_GONE}'
    storage.replace(path, gone)
  storage.remove(gone)


def _busy(path: str, owner: str) -> BusyError:
  try:
    who = small_files.read_json(owner, _WHO)
    words = 'process {pid} on {host}, since {since}'.format(**who)
  except (ValueError, OSError):
    words = 'another process'
  return BusyError(
    f'{path}: {words}, is building this already. Wait until it is done; if '
    'that process is dead, remove this folder'
  )


def _is_own_and_dead(owner: str) -> bool:
  try:
    who = small_files.read_json(owner, _WHO)
    if who['host'] != socket.gethostname():
      return False
    os.kill(who['pid'], 0)
  except ProcessLookupError:
    return True
  except (ValueError, OSError):
    return False
  return bool(who['pid'] == os.getpid())
