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

from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.records import metadata, raw_files, sums
from imagenet_val_tfrec.verify import check_records

_SHOWN = 12  # Digits of a SHA-256.


def read(
  folder: str,
) -> tuple[Mapping[str, str] | None, list[check_records.Finding]]:
  """Reads `SHA256SUMS`; returns None if that cannot be, and what is wrong."""
  try:
    return sums.read(folder), []
  except errors.FileError as e:
    return None, [check_records.Finding(e.path, e.what)]
  except OSError as e:
    path = os.path.join(folder, sums.FILENAME)
    return None, [check_records.unreadable(path, e)]


@contextlib.contextmanager
def hashing(
  folder: str, names: Iterable[str], workers: int
) -> Iterator[dict[str, concurrent.futures.Future[str]]]:
  """Hashes files meanwhile, on threads of its own.

  They go through the files in the same order as those that read records, and at
  about their pace, so that most bytes come from the disk once.
  """
  stop = threading.Event()
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    try:
      yield {
        name: pool.submit(sums.of_file, os.path.join(folder, name), stop)
        for name in names
      }
    finally:
      stop.set()
      pool.shutdown(cancel_futures=True)


def compare(
  folder: str,
  known: Mapping[str, str],
  hashes: Mapping[str, concurrent.futures.Future[str]],
  told: Collection[str],
  report: Callable[[int, int], None],
) -> Iterator[check_records.Finding]:
  """Yields files that are missing, changed, or not named.

  Args:
    folder: Of the files.
    known: What `SHA256SUMS` says.
    hashes: Of the files, or of some of them, as `hashing` gives them.
    told: Paths of files that something else is wrong with.
    report: Is told of files and bytes done.
  """
  for name, future in hashes.items():
    path = os.path.join(folder, name)
    try:
      found = future.result()
      report(1, storage.size_of(path))
    except OSError as e:
      if path not in told:
        yield check_records.unreadable(path, e)
      continue
    if found != known[name] and path not in told:
      yield check_records.Finding(
        path,
        f'SHA-256 is {found[:_SHOWN]}…, expected {known[name][:_SHOWN]}… as '
        f'{sums.FILENAME} says: it is another file, or was changed. Copy or '
        'build it again',
      )
  for name in storage.names_in(folder):
    path = os.path.join(folder, name)
    is_part = name in metadata.SMALL_FILES or raw_files.is_record_file(name)
    if is_part and name not in known and path not in told:
      yield check_records.Finding(path, f'not named in {sums.FILENAME}')
