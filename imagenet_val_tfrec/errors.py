"""How bad input is told: every offender counted, the first ten named."""

from __future__ import annotations

import errno
from collections.abc import Sequence

_MOST_NAMED = 10


class InputError(ValueError):
  """The user's input cannot be used as it is; the message says why."""


def offenders(what: str, found: Sequence[str], advice: str = '') -> str:
  """Returns the message that names the first ten of `found` and counts all.

  Args:
    what: What is wrong with them, e.g. `'images are missing from /a.tar'`.
    found: One line for each offender: where it is, what it is.
    advice: What to do about it.
  """
  lines = [f'{len(found):,} {what}:', *(f'  {f}' for f in found[:_MOST_NAMED])]
  if len(found) > _MOST_NAMED:
    lines.append(f'  … and {len(found) - _MOST_NAMED:,} more')
  if advice:
    lines.append(advice)
  return '\n'.join(lines)


def some(names: Sequence[str], most: int = 3) -> str:
  """Returns a few of `names`, quoted, for the middle of a sentence."""
  more = ', …' if len(names) > most else ''
  return ', '.join(repr(name) for name in names[:most]) + more


def is_full(error: OSError) -> bool:
  """Whether the error says that there is no room left to write."""
  return error.errno in (errno.ENOSPC, errno.EDQUOT)
