"""Threads: how many there are, and how they share work."""

from __future__ import annotations

import collections
import concurrent.futures
import os
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import TypeVar

from imagenet_val_tfrec.core import errors

_MOST_WORKERS = 1000
_SMALL = 12_000  # Bytes of an image.

_Item = TypeVar('_Item')
_Result = TypeVar('_Result')


def num_cpus() -> int:
  """Returns how many processors this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1


def num_threads(image_bytes: float, *, remote: bool) -> int:
  """Returns how many threads write images of that mean size fastest.

  While one thread hashes, reads or writes, another may hold Python's lock. A
  small image is all lock: on two processors two threads took 1.32 times as long
  as one for images of 1 kB, 1.19 for 4 kB, 0.94 for 16 kB, 0.57 for 64 kB and
  0.62 for 1 MB. Four took as long as two, and less where they wait for a disk.
  An object store makes every thread wait.
  """
  if image_bytes < _SMALL and not remote:
    return 1
  return 2 * num_cpus()


def pays_off(items: int, size: int) -> bool:
  """Whether work on so many records and bytes is worth other processes.

  They start in 0.2 s. On two processors, 50,000 JPEGs of 116 kB were verified
  in 4.3 s by two processes, in 5.2 by one thread and in 6.9 by two; without
  SHA-256 in 2.2, 2.7 and 5.3. One thread is all that Python's lock leaves, so
  with more processors the distance grows.
  """
  return num_cpus() > 1 and items * 30e-6 + size / 2e9 > 1


def check_workers(workers: int) -> None:
  """Raises InputError if the number of threads is out of range."""
  if not 0 <= workers <= _MOST_WORKERS:
    raise errors.InputError(
      f'workers is {workers:,}, expected 0 to {_MOST_WORKERS:,}'
    )


def in_order(
  work: Callable[[_Item], _Result],
  items: Iterable[_Item],
  workers: int,
  stop: threading.Event,
) -> Generator[_Result, None, None]:
  """Calls `work` with each item, on threads; yields the results in order.

  Items are taken as threads are free, so only a few are in memory. What `work`
  raises first is raised at once. Then, or when the caller wants no more, `stop`
  is set: no further call begins, and those that run should end soon.
  """
  pending: collections.deque[concurrent.futures.Future[_Result]]
  pending = collections.deque()
  with concurrent.futures.ThreadPoolExecutor(workers) as pool:
    try:
      for item in items:
        pending.append(pool.submit(work, item))
        while len(pending) >= 2 * workers:
          yield from _finished(pending)
      while pending:
        yield from _finished(pending)
    except BaseException:
      stop.set()
      for future in pending:
        future.cancel()
      raise


def _finished(
  pending: collections.deque[concurrent.futures.Future[_Result]],
) -> Iterator[_Result]:
  """Waits for one more to end; yields those at the front that have ended."""
  concurrent.futures.wait(
    [future for future in pending if not future.done()],
    return_when=concurrent.futures.FIRST_COMPLETED,
  )
  for future in pending:
    if future.done():
      future.result()
  while pending and pending[0].done():
    yield pending.popleft().result()
