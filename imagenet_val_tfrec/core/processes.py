"""A function called in processes of its own, as if it were called here.

Threads share Python's lock, processes do not. These are new ones, which import
only what the function needs: not TFDS, and not the program's main module, as
those of `multiprocessing` do. They end when their pipes do, so also when this
process is killed.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import IO, Any

from imagenet_val_tfrec.core import errors

_LOST = (
  'a worker process ended before its work did: killed, or out of memory. Run '
  'this again'
)
# Packages with modules that are needed, but not what they import themselves:
# in their place stand empty ones, so a process starts in 0.2 s and not in 0.8.
_EMPTY = (
  'imagenet_val_tfrec',
  'imagenet_val_tfrec.verify',
  'tensorflow_datasets',
)
_CHILD = f"""
import pickle, sys, types
sys.path[:], paths = pickle.load(sys.stdin.buffer)
for name, path in paths.items():
  sys.modules[name] = types.ModuleType(name)
  sys.modules[name].__path__ = path
from {__name__} import _serve
_serve()
"""


class Processes:
  """Calls a picklable function of this package, from any thread.

  Each call has a process for itself, which may serve others later. Raises what
  the function raises; LostWorkerError if its process ends before that.
  """

  def __init__(self, function: Callable[[Any], Any]):
    self._function = function
    self._idle: list[subprocess.Popen[bytes]] = []

  def __call__(self, item: Any) -> Any:
    """Calls the function with an item."""
    hello: tuple[Any, ...] = ()
    try:
      child = self._idle.pop()
    except IndexError:
      child = _start()
      packages = {n: sys.modules[n] for n in _EMPTY if n in sys.modules}
      paths = {name: list(p.__path__) for name, p in packages.items()}
      hello = (sys.path, paths), self._function
    assert child.stdin
    assert child.stdout
    try:
      _send(child.stdin, *hello, item)
      error, result = pickle.load(child.stdout)
    except BaseException as e:
      _end(child)
      if isinstance(e, EOFError | BrokenPipeError | pickle.UnpicklingError):
        raise errors.LostWorkerError(_LOST) from e
      raise
    self._idle.append(child)
    if error:
      raise error
    return result

  def close(self) -> None:
    """Ends the processes; none may be at work."""
    for child in self._idle:
      _end(child)


def _start() -> subprocess.Popen[bytes]:
  # Ctrl-C is for this process to answer; then the others end.
  ignored = {signal.SIGINT, signal.SIGTERM}
  before = signal.pthread_sigmask(signal.SIG_BLOCK, ignored)
  try:
    return subprocess.Popen(
      [sys.executable, '-c', _CHILD],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
    )
  finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(child: subprocess.Popen[bytes]) -> None:
  for pipe in (child.stdin, child.stdout):
    assert pipe
    with contextlib.suppress(BrokenPipeError):
      pipe.close()
  child.wait()


def _send(pipe: IO[bytes], *messages: Any) -> None:
  for message in messages:
    pickle.dump(message, pipe)
  pipe.flush()


def _serve() -> None:
  """Answers calls, in a process that was started for it."""
  calls, answers = sys.stdin.buffer, os.fdopen(os.dup(1), 'wb')
  os.dup2(2, 1)  # What is printed is no answer.
  with contextlib.suppress(EOFError, BrokenPipeError):
    function = pickle.load(calls)
    while True:
      _send(answers, _answer(function, pickle.load(calls)))
  os._exit(0)


def _answer(function: Callable[[Any], Any], item: Any) -> tuple[Any, Any]:
  """Returns an error or a result."""
  try:
    return None, function(item)
  except Exception as e:
    from multiprocessing import pool

    wrap = pool.ExceptionWithTraceback  # type: ignore[attr-defined]
    return wrap(e, e.__traceback__), None
