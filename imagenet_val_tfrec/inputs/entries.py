"""Files of a source: their names, and where they are.

Names are relative paths, with `/` between folders.
"""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

from imagenet_val_tfrec.core import errors

MOST_BYTES = 4096  # As PATH_MAX of Linux.
_CONTROL = re.compile('[\x00-\x1f\x7f-\x9f]')


class Entry(NamedTuple):
  """One file of a source.

  Its path ends in `/` if it is not a file but may hold more of them: a folder
  that cannot be walked, or, as `/`, what follows the end of a tar.
  """

  path: str  # Relative to the source.
  offset: int = 0  # Of its first byte, in a tar.
  size: int = 0  # In bytes.
  mtime_ns: int = 0  # When it was changed last; in a tar, when the tar was.
  problem: str = ''  # What it is if not a plain file, e.g. 'a FIFO'.

  def state(self) -> int:
    """Returns what changes with name, size or time; the same in any process."""
    name = zlib.crc32(self.path.encode('utf-8', 'surrogateescape'))
    return hash((name, self.size, self.mtime_ns))


def normalise(name: str) -> str:
  """Returns the name without empty parts and `.`: `a/b` for `./a//b`.

  An absolute name stays absolute; `..` stays. Where nothing is left it is ''.
  """
  parts = [part for part in name.split('/') if part not in ('', '.')]
  return ('/' if name.startswith('/') else '') + '/'.join(parts)


def leads_out(name: str) -> bool:
  """Whether the name is absolute or has a `..` in it."""
  return name.startswith('/') or ('..' in name and '..' in name.split('/'))


def is_too_long(name: str) -> bool:
  """Whether the name takes more than `MOST_BYTES`, so no disk can have it."""
  return len(name) * 4 > MOST_BYTES and (
    len(name.encode('utf-8', 'surrogateescape')) > MOST_BYTES
  )


def labelled_name(name: str) -> str:
  """Returns the name normalised; raises ValueError if it cannot be used."""
  problem = ''
  if not (name.isascii() and name.isprintable()) and _CONTROL.search(name):
    problem = 'control character in name {}'
  elif is_too_long(name):
    problem = f'a name of more than {MOST_BYTES:,} bytes: {{}}'
  elif name.startswith('/'):
    problem = 'absolute name {}, expected one relative to the image folder'
  elif leads_out(name):
    problem = '".." in name {}'
  normal = normalise(name) if '/' in name else name
  if not problem and normal in ('', '.'):
    problem = '{} is not an image name'
  if problem:
    raise ValueError(problem.format(errors.quoted(name)))
  return normal
