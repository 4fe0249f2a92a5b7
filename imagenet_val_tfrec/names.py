"""Names of images: relative paths, with `/` between folders."""

from __future__ import annotations

MOST_BYTES = 4096  # As PATH_MAX of Linux.


def normalise(name: str) -> str:
  """Returns the name without empty parts and `.`, so that `./a//b` is `a/b`.

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
