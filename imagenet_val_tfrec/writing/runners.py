"""Where the work is done. A runner never changes a byte.

A runner calls a function with each shard of a plan. It returns when all are
done, or raises what was raised first.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.core import workers as workers_lib
from imagenet_val_tfrec.writing import plan as plan_lib

_LOOK_EVERY = 1.0  # Seconds.

# Told of images and bytes done.
Progress = Callable[[int, int], None]


class WriteShard(Protocol):
  """Writes shards; picklable, so that any process can."""

  def __call__(
    self, shard: plan_lib.Shard, progress: Progress | None = None
  ) -> None:
    """Writes the shard; `progress` may raise, which ends the attempt."""

  def is_done(self, shard: plan_lib.Shard) -> bool:
    """Whether the shard is written, no matter by whom."""


class Runner(Protocol):
  """Calls `write` with each shard, somewhere; returns when all are written."""

  def __call__(
    self,
    write: WriteShard,
    shards: Iterable[plan_lib.Shard],
    *,
    progress: Progress | None = None,
  ) -> None:
    """Runs; raises what `write` raised first."""


class Cancelled(Exception):
  """Raised inside a worker when another one failed."""


def choose(beam_runner: Any = None, beam_options: Any = None) -> Runner:
  """Returns Apache Beam where it is asked for, else threads."""
  if beam_runner is None and beam_options is None:
    return run_threads
  return functools.partial(run_beam, runner=beam_runner, options=beam_options)


def from_flags(workers: int, beam_pipeline_options: str) -> Runner:
  """Returns threads, or Apache Beam where there are options for it.

  Args:
    workers: How many threads.
    beam_pipeline_options: Flags without their dashes, separated by commas.
  """
  if not beam_pipeline_options:
    return functools.partial(run_threads, workers=workers)
  from apache_beam.options import pipeline_options

  flags = [f'--{option}' for option in beam_pipeline_options.split(',')]
  run = choose(beam_options=pipeline_options.PipelineOptions(flags))

  def run_named(*args: Any, **kwargs: Any) -> None:
    try:
      run(*args, **kwargs)
    except errors.InputError:
      raise
    except ValueError as e:  # No runner of that name, say.
      raise errors.InputError(
        f'beam_pipeline_options is {beam_pipeline_options!r}: {e}'
      ) from e

  return run_named


def run_threads(
  write: WriteShard,
  shards: Iterable[plan_lib.Shard],
  *,
  workers: int = 0,
  progress: Progress | None = None,
) -> None:
  """Runs on threads of this process.

  Shards are taken as workers are free, so that few of them are in memory.

  Args:
    write: Called with each shard, from any thread.
    shards: What to write.
    workers: How many threads (0: two for each processor).
    progress: Called from any thread, one at a time.

  Raises:
    Exception: what `write` raised first; the other workers stop at their next
      image, and no further shard is begun.
  """
  lock = threading.Lock()
  stop = threading.Event()

  def report(images: int, size: int) -> None:
    if stop.is_set():
      raise Cancelled
    if progress:
      with lock:
        progress(images, size)

  number = workers or 2 * workers_lib.num_cpus()
  results = workers_lib.in_order(
    lambda shard: write(shard, report), shards, number, stop
  )
  with contextlib.closing(results):
    for _ in results:
      pass


def run_beam(
  write: WriteShard,
  shards: Iterable[plan_lib.Shard],
  *,
  runner: Any = None,
  options: Any = None,
  progress: Progress | None = None,
) -> None:
  """Runs on Apache Beam: on other processes, or other machines.

  Only shards cross the engine, which are small, and nothing comes back: what
  was done is seen where it was to be written. An attempt that is repeated, or
  runs twice, does no harm: `write` allows for that.

  Args:
    write: Called with each shard, in a worker that can import this package.
    shards: What to write.
    runner: Name or object, as `beam.Pipeline` takes it.
    options: `PipelineOptions`.
    progress: Called with each shard that was seen to be done.

  Raises:
    Exception: what the engine raises, once it has given up.
  """
  import apache_beam as beam

  todo = list(shards)
  with (
    _watch(write, todo, progress),
    beam.Pipeline(runner=runner, options=options) as pipeline,
  ):
    _ = (
      pipeline
      | 'Shards' >> beam.Create(todo)
      | 'Spread' >> beam.Reshuffle()
      | 'Write' >> beam.Map(write)
    )


@contextlib.contextmanager
def _watch(
  write: WriteShard,
  shards: Sequence[plan_lib.Shard],
  progress: Progress | None,
) -> Iterator[None]:
  """Reports shards as they are seen to be done."""
  if not progress:
    yield
    return
  left = {shard.filename: shard for shard in shards}
  over = threading.Event()

  def look() -> None:
    for shard in [shard for shard in left.values() if write.is_done(shard)]:
      del left[shard.filename]
      progress(len(shard.examples), shard.examples.image_bytes())

  def keep_looking() -> None:
    while not over.wait(_LOOK_EVERY):
      look()

  watcher = threading.Thread(target=keep_looking, daemon=True)
  watcher.start()
  try:
    yield
  finally:
    over.set()
    watcher.join()
  look()
