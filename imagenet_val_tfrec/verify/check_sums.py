"""Whether files are, byte for byte, those that `SHA256SUMS` names.

What checksums of records cannot tell: that files have changed places, that a
record is not the one that was written, or that a class has another name.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TypeAlias

from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.records import metadata, raw_files, sums
from imagenet_val_tfrec.verify.check_records import Finding

_SHOWN = 12  # Digits of a SHA-256.
Hashes: TypeAlias = dict[str, 'concurrent.futures.Future[str]']


def read(folder: str) -> tuple[Mapping[str, str] | None, list[Finding]]:
  """Reads `SHA256SUMS`; returns None if that cannot be, and what is wrong."""
  try:
    return sums.read(folder), []
  except errors.FileError as e:
    return None, [Finding(e.path, e.what)]
  except OSError as e:
    path = os.path.join(folder, sums.FILENAME)
    return None, [Finding(path, errors.unreadable(e))]


@contextlib.contextmanager
def hashing(
  folder: str, names: Iterable[str], workers: int
) -> Iterator[Hashes]:
  """Hashes files meanwhile, on threads of its own.

  They go through the files in the same order as those that read records, and at
  about their pace, so that most bytes come from the disk once.
  """
  stop = threading.Event()
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    try:
      present = set(storage.names_in(folder))
      yield {
        name: pool.submit(sums.of_file, os.path.join(folder, name), stop)
        for name in names
        if name in present
      }
    finally:
      stop.set()
      pool.shutdown(cancel_futures=True)


def compare(
  folder: str,
  known: Mapping[str, str],
  names: Iterable[str],
  hashes: Hashes,
  told: Collection[str],
  report: Callable[[int, int], None],
) -> Iterator[Finding]:
  """Yields files that are missing, changed, or not named in `SHA256SUMS`.

  No finding is made of a path that is `told` already. `report` is told of files
  and bytes done.
  """
  for name in names:
    path = os.path.join(folder, name)
    finding = None
    try:
      if name not in hashes:
        raise FileNotFoundError
      found = hashes[name].result()
      report(1, storage.size_of(path))
      if found != known[name]:
        finding = Finding(
          path,
          f'SHA-256 is {found[:_SHOWN]}…, expected {known[name][:_SHOWN]}… as '
          f'{sums.FILENAME} says: it is another file, or was changed. Copy or '
          'build it again',
        )
    except OSError as e:
      finding = Finding(path, errors.unreadable(e))
    if finding and path not in told:
      yield finding
  for name in storage.names_in(folder):
    path = os.path.join(folder, name)
    is_part = name in metadata.SMALL_FILES or raw_files.is_record_file(name)
    if is_part and name not in known and path not in told:
      yield Finding(path, f'not named in {sums.FILENAME}')
