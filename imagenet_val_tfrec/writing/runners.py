"""Where the work is done. A runner never changes a byte.

A runner calls a function with each shard of a plan. It returns when all are
done, or raises what was raised first.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import pathlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.core import workers as workers_lib
from imagenet_val_tfrec.writing import plan as plan_lib

_LOOK_EVERY = 1.0  # Seconds.
_LOST = (
  'a worker process ended before its work did: killed, or out of memory. '
  'Finished shards are kept; run this again'
)

Progress = Callable[[int, int], None]  # Told of images and bytes done.
# Whether a shard is written, no matter by whom.
IsDone = Callable[[plan_lib.Shard], bool]
# Writes a shard; picklable. It may be given `progress`, which may raise; that
# ends the attempt.
WriteShard = Callable[..., None]
# Calls the first argument, a `WriteShard`, with each of the second, shards.
# Keywords: `is_done`; `threads`, how many are best here; `progress` or None.
Runner = Callable[..., None]


class Cancelled(Exception):
  """Raised inside a worker when another one failed."""


def choose(beam_runner: Any = None, beam_options: Any = None) -> Runner:
  """Returns Apache Beam where it is asked for, else threads."""
  if beam_runner is None and beam_options is None:
    return run_threads
  return functools.partial(run_beam, runner=beam_runner, options=beam_options)


def from_flags(workers: int, beam_pipeline_options: str) -> Runner:
  """Returns threads; or Beam, if it has flags: no dashes, commas between."""
  if not beam_pipeline_options:
    return functools.partial(run_threads, workers=workers)
  from apache_beam.options import pipeline_options

  flags = [f'--{option}' for option in beam_pipeline_options.split(',')]
  options = pipeline_options.PipelineOptions(flags)

  def run_named(*args: Any, **kwargs: Any) -> None:
    try:
      run_beam(*args, options=options, **kwargs)
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
  is_done: IsDone,
  threads: int,
  workers: int = 0,
  progress: Progress | None = None,
) -> None:
  """Runs on so many threads of this process (workers 0: what `threads` says).

  After an error the other workers stop at their next image, and no further
  shard is begun. `progress` is called from any thread, one at a time.
  """
  del is_done  # Each thread tells.
  lock, stop = threading.Lock(), threading.Event()

  def report(images: int, size: int) -> None:
    if stop.is_set():
      raise Cancelled
    if progress:
      with lock:
        progress(images, size)

  work = functools.partial(write, progress=report)
  with contextlib.closing(
    workers_lib.in_order(work, shards, workers or threads, stop)
  ) as results:
    for _ in results:
      pass


def run_beam(
  write: WriteShard,
  shards: Iterable[plan_lib.Shard],
  *,
  is_done: IsDone,
  threads: int,
  runner: Any = None,
  options: Any = None,
  progress: Progress | None = None,
) -> None:
  """Runs on Apache Beam: on other processes, or other machines.

  Only shards go to workers, and nothing comes back: what was done is seen where
  it was to be written. `write` may be tried again, or run twice. Runner and
  options are as `beam.Pipeline` takes them; workers must have this package.
  """
  import apache_beam as beam

  del threads  # The runner has its own options.
  _notice_dead_workers()
  if options is not None:
    _hush(options)
  todo = list(shards)
  try:
    with (
      _watch(todo, is_done, progress) if progress else contextlib.nullcontext(),
      beam.Pipeline(runner=runner, options=options) as pipeline,
    ):
      _ = (
        pipeline
        | 'Shards' >> beam.Create(todo)
        | 'Spread' >> beam.Reshuffle()
        | 'Write' >> beam.Map(write)
      )
  except RuntimeError as e:
    if _LOST not in str(e):
      raise
    raise errors.LostWorkerError(_LOST) from e


def _hush(options: Any) -> None:
  """Lets processes on this machine log only errors: they tear the bar."""
  from apache_beam.options import pipeline_options

  runner = options.view_as(pipeline_options.StandardOptions).runner
  workers = options.view_as(pipeline_options.WorkerOptions)
  is_set = workers.default_sdk_harness_log_level is not None
  if runner in (None, 'DirectRunner') and not is_set:
    workers.default_sdk_harness_log_level = 'ERROR'


@functools.cache
def _notice_dead_workers() -> None:
  """Lets Beam's DirectRunner fail when one of its processes dies, not wait.

  By private names of Beam 2.70 to 2.77; without them it waits, as it does.
  """
  try:
    from apache_beam.portability import python_urns
    from apache_beam.portability.api import beam_fn_api_pb2
    from apache_beam.runners.portability.fn_api_runner import worker_handlers
  except ImportError:
    return

  class Handler(worker_handlers.SubprocessSdkWorkerHandler):
    def start_worker(self) -> None:
      super().start_worker()
      threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
      self.worker_thread.join()
      waited_for = list(self.control_conn._futures_by_id.values())
      for future in waited_for:
        future.set(beam_fn_api_pb2.InstructionResponse(error=_LOST))
      if waited_for:  # The others would go on to the end of their part.
        for pid in _worker_processes(self.control_address):
          with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

  worker_handlers.WorkerHandler.register_environment(
    python_urns.SUBPROCESS_SDK, bytes
  )(Handler)


@contextlib.contextmanager
def _watch(
  shards: Sequence[plan_lib.Shard], is_done: IsDone, progress: Progress
) -> Iterator[None]:
  """Reports shards as they are seen to be done."""
  left, over = list(shards), threading.Event()

  def look() -> None:
    for shard in filter(is_done, list(left)):
      left.remove(shard)
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


def _worker_processes(address: str, of: str = 'self') -> Iterator[int]:
  """Yields those that work for the DirectRunner at an address; on Linux."""
  for path in glob.glob(f'/proc/{of}/task/*/children'):
    with contextlib.suppress(OSError):  # They come and go.
      for pid in pathlib.Path(path).read_text().split():
        yield from _worker_processes(address, pid)
        process = pathlib.Path(f'/proc/{pid}')
        is_worker = b'sdk_worker_main' in (process / 'cmdline').read_bytes()
        if is_worker and address.encode() in (process / 'environ').read_bytes():
          yield int(pid)
