"""`SHA256SUMS`: what each file of a dataset holds, to be checked by anyone.

In the format of GNU coreutils, so that `sha256sum -c SHA256SUMS` works without
this package. Source: "cksum output modes" in the manual of GNU coreutils.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import threading
from collections.abc import Mapping

from imagenet_val_tfrec.core import errors, small_files, storage

FILENAME = 'SHA256SUMS'

_CHUNK = 1 << 20
_MOST_FILES = 100_100  # 99,999 shards, and the small files.
_LINE = re.compile(r'(\\?)([0-9a-f]{64}) [ *]([^/\0]+)')
_ESCAPED = {'\\\\': '\\', '\\n': '\n', '\\r': '\r'}
_TO_ESCAPE = str.maketrans({char: escape for escape, char in _ESCAPED.items()})


def of_file(path: str, stop: threading.Event | None = None) -> str:
  """Returns the SHA-256 of a file, as hex digits; '' if told to stop."""
  sha256 = hashlib.sha256()
  with storage.open_random(path) as reader:
    for position in range(0, reader.size, _CHUNK):
      if stop and stop.is_set():
        return ''
      sha256.update(reader.read(_CHUNK, position))
  return sha256.hexdigest()


def write(folder: str, sums: Mapping[str, str]) -> None:
  """Writes `SHA256SUMS` in a folder: the digest of each file, by its name."""
  lines = []
  for name, digest in sorted(sums.items()):
    escaped = name.translate(_TO_ESCAPE)
    mark = '' if escaped == name else '\\'
    lines.append(f'{mark}{digest}  {escaped}\n')
  small_files.write_text(os.path.join(folder, FILENAME), ''.join(lines))


def read(folder: str) -> dict[str, str] | None:
  """Reads `SHA256SUMS`; None if there is none, FileError at a bad line."""
  path = os.path.join(folder, FILENAME)
  if not storage.exists(path):
    return None
  sums = {}
  text = small_files.read_text(path)
  for number, line in enumerate(io.StringIO(text, newline='\n'), 1):
    line = line.removesuffix('\n')
    match = _LINE.fullmatch(line)
    if not match:
      raise errors.FileError(
        path,
        f'line {number} is {errors.quoted(line)}, expected "SHA256  NAME" as '
        'sha256sum writes it',
      )
    name = match[3]
    if match[1]:
      name = re.sub(r'\\[\\nr]', lambda escape: _ESCAPED[escape[0]], name)
    sums[name] = match[2]
    if number > _MOST_FILES:
      raise errors.FileError(path, f'expected at most {_MOST_FILES:,} lines')
  return sums
