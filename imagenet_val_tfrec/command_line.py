"""What all commands share: one clear message, and an exit code, for errors."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from types import FrameType

from imagenet_val_tfrec import errors


class _Terminated(SystemExit):
  """SIGTERM arrived; unwinds as Ctrl-C does."""


def exit_code(work: Callable[[], int]) -> int:
  """Runs a command; tells what the user can mend without a traceback.

  Args:
    work: Does all of it and returns the exit code.

  Returns:
    What `work` returns; 1 if the input cannot be used or the system says no,
    130 after SIGINT (Ctrl-C), 143 after SIGTERM.
  """
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):  # Any path can be printed.
      stream.reconfigure(errors='backslashreplace')
  with _short_warnings(), _sigterm_unwinds():
    try:
      return work()
    except errors.InputError as e:
      print(f'error: {e}', file=sys.stderr)
      return 1
    except OSError as e:
      where = f'{e.filename}: ' if e.filename else ''
      print(f'error: {where}{e.strerror or e}', file=sys.stderr)
      return 1
    except KeyboardInterrupt:
      return 128 + signal.SIGINT
    except _Terminated:
      return 128 + signal.SIGTERM


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
  def show(message: Warning | str, *_: object, **__: object) -> None:
    print(f'warning: {message}', file=sys.stderr)

  with warnings.catch_warnings():
    warnings.showwarning = show
    yield


@contextlib.contextmanager
def _sigterm_unwinds() -> Iterator[None]:
  """Lets SIGTERM raise, so that it is cleaned up after; main thread only."""
  if threading.current_thread() is not threading.main_thread():
    yield
    return

  def unwind(number: int, frame: FrameType | None) -> None:
    raise _Terminated

  before = signal.signal(signal.SIGTERM, unwind)
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, before)
