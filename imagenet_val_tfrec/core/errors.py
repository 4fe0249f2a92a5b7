"""Messages about bad input: all offenders are counted, ten are named."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence

# How a shell names other images than ImageNet's.
CONFIG = (
  """--config '{"name": "flowers", "image_dir": "FOLDER", """
  """"label_file": "FILE"}'"""
)

_MOST_NAMED = 10
_MOST_SHOWN = 100  # Characters of a name.


class InputError(ValueError):
  """The user's input cannot be used as it is; the message says why."""


class LostWorkerError(OSError):
  """A worker was lost, and its work; what the others have done is kept."""


class FileError(InputError):
  """A file that cannot be used as it is: `path`, and `what` is wrong."""

  def __init__(self, path: str, what: str):
    super().__init__(path, what)
    self.path, self.what = path, what

  def __str__(self) -> str:
    return f'{shown(self.path)}: {self.what}'


class Offenders:
  """Counts what is wrong, and keeps the first ten to be named."""

  def __init__(self, found: Iterable[str] = ()):
    self._count = 0
    self._named: list[str] = []
    for line in found:
      self.add(line)

  def __len__(self) -> int:
    return self._count

  def add(self, line: str) -> None:
    """Adds one more: where it is, what it is."""
    self._count += 1
    if self._count <= _MOST_NAMED:
      self._named.append(line)

  def message(self, what: str, advice: str = '') -> str:
    """Returns the message that names the first ten and counts all.

    `what` is such as `'images are missing from /a.tar'`.
    """
    lines = [f'{self._count:,} {what}:', *(f'  {line}' for line in self._named)]
    if self._count > _MOST_NAMED:
      lines.append(f'  … and {self._count - _MOST_NAMED:,} more')
    if advice:
      lines.append(advice)
    return '\n'.join(lines)


def offenders(what: str, found: Iterable[str], advice: str = '') -> str:
  """Returns `Offenders(found).message(what, advice)`."""
  return Offenders(found).message(what, advice)


def quoted(text: str) -> str:
  """Returns the `repr()` of a name or a line of input, to be printed.

  If it is longer than about 100 characters, its middle is left out.
  """
  kept = _MOST_SHOWN
  while True:
    if len(text) <= kept:
      shown = repr(text)
    else:
      shown = repr(f'{text[: kept // 2]}…{text[-kept // 2 :]}')
    if len(shown) <= _MOST_SHOWN + 4:
      return shown
    kept = kept * 3 // 4  # Escapes are wider than what they stand for.


def shown(path: str) -> str:
  """Returns a path, by `repr()` if it could play with a terminal."""
  return path if path.isprintable() else repr(path)


def harmless(text: str) -> str:
  """Returns text that cannot play with a terminal, but for its line feeds."""
  return ''.join(
    c if c.isprintable() or c == '\n' else repr(c)[1:-1] for c in text
  )


def some(names: Sequence[str], most: int = 3) -> str:
  """Returns a few of `names`, quoted, for the middle of a sentence."""
  more = ', …' if len(names) > most else ''
  return ', '.join(quoted(name) for name in names[:most]) + more


def unreadable(error: OSError) -> str:
  """Says why a file cannot be read, which is part of a dataset."""
  if isinstance(error, FileNotFoundError):
    return 'the file is missing'
  return f'the file cannot be read: {error.strerror or error}'


def is_full(error: OSError) -> bool:
  """Whether the error says that there is no room left to write."""
  return error.errno in (errno.ENOSPC, errno.EDQUOT)
