"""What all commands share: one clear message, and an exit code, for errors."""

from __future__ import annotations

import contextlib
import io
import json
import logging as python_logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import tqdm
from absl import logging

from imagenet_val_tfrec.core import errors

TFDS_CLI = 'tensorflow_datasets.scripts.cli.build'
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def exit_code(work: Callable[[], int], unusable: int = 1) -> int:
  """Runs a command; prints what the user can fix in a line, not a traceback.

  Returns what `work` returns; or `unusable` if the input cannot be used or the
  system says no; or 130 after SIGINT (Ctrl-C). SIGTERM exits with 143.
  """
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):  # Any path can be printed.
      stream.reconfigure(errors='backslashreplace')
  with _plainly():
    try:
      return work()
    except KeyboardInterrupt:
      return 128 + signal.SIGINT
    except Exception as e:
      if not (words := in_words(e)):
        raise
      _tell(f'error: {words}')
      return unusable


def tell_briefly() -> None:
  """Lets `tfds build` say what the user can mend without a traceback.

  Called when the package is imported, as a config is made before any builder.
  Any other program is left as it is.
  """
  if not is_tfds_build() or sys.excepthook is not sys.__excepthook__:
    return

  def hook(kind: Any, error: BaseException, traceback: Any) -> None:
    if words := in_words(error) or of_config(error):
      _tell(f'error: {words}')
    elif not isinstance(error, KeyboardInterrupt):  # Its builder tells.
      sys.__excepthook__(kind, error, traceback)

  sys.excepthook = hook


def is_tfds_build() -> bool:
  """Whether this process is `tfds build`."""
  return TFDS_CLI in sys.modules


def must_not_exist() -> bool:
  """Whether this is `tfds build --fail_if_exists`: TFDS tells no builder."""
  return is_tfds_build() and any(
    argument.startswith('--fail_if_exists') for argument in sys.argv
  )


@contextlib.contextmanager
def as_in_our_commands() -> Iterator[None]:
  """Lets `tfds build`, too, tell in lines, and clean up after SIGTERM."""
  with _plainly() if is_tfds_build() else contextlib.nullcontext():
    yield


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
  with warnings.catch_warnings(), _plain_log(), _sigterm_unwinds():
    warnings.showwarning = _tell_warning
    yield


def _tell(message: str) -> None:
  tqdm.tqdm.write(errors.harmless(message), file=sys.stderr)  # Above bars.


def _tell_warning(message: Warning | str, *_: object, **__: object) -> None:
  _tell(f'warning: {message}')


def in_words(error: BaseException) -> str:
  """Says what the user can fix; '' if it is nothing of that kind."""
  if isinstance(error, OSError):
    where = f'{error.filename!r}: ' if error.filename else ''
    return f'{where}{error.strerror or error}'
  if isinstance(error, MemoryError):
    return f'{error}' or 'too little memory'
  if isinstance(error, errors.InputError):
    return str(error)
  no_thread = isinstance(error, RuntimeError) and 'new thread' in str(error)
  return f'{error}; use fewer workers' if no_thread else ''


def of_config(error: BaseException) -> str:
  """Says what is wrong with `--config`; '' if it is nothing of that kind."""
  if isinstance(error, json.JSONDecodeError):
    what = f'is {errors.quoted(error.doc)}, no JSON ({error})'
  elif isinstance(error, TypeError) and 'Config.__init__()' in str(error):
    what = str(error).partition('__init__() ')[2]
    what = what.replace('keyword argument', 'option')
  else:
    return ''
  expected = 'expected the name of a config, or JSON in quotes'
  return f'--config {what}; {expected}: {errors.CONFIG}'


class _AboveBars(python_logging.Handler):
  """Prints what this package logs, and errors; not what TFDS and Beam log."""

  def emit(self, record: python_logging.LogRecord) -> None:
    is_error = record.levelno >= python_logging.ERROR
    if is_error or record.pathname.startswith(_PACKAGE):
      _tell(record.getMessage())


@contextlib.contextmanager
def _plain_log() -> Iterator[None]:
  root, logger = python_logging.getLogger(), logging.get_absl_logger()
  handlers, level = root.handlers, logger.level
  root.handlers = [_AboveBars()]
  logger.setLevel(python_logging.INFO)
  try:
    yield
  finally:
    root.handlers = handlers
    logger.setLevel(level)


@contextlib.contextmanager
def _sigterm_unwinds() -> Iterator[None]:
  """Lets SIGTERM raise, so that `finally` runs; in the main thread only."""
  if threading.current_thread() is not threading.main_thread():
    yield
    return

  def unwind(number: int, frame: Any) -> None:
    raise SystemExit(128 + number)

  before = signal.signal(signal.SIGTERM, unwind)
  try:
    yield
  finally:
    signal.signal(signal.SIGTERM, before)
