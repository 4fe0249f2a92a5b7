"""Names of the older files: `data_0.tfrecord`, `data_1.tfrecord` and so on."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable

SUFFIX = '.tfrecord'

_NUMBERED = re.compile(r'(.+)_(0|[1-9][0-9]*)' + re.escape(SUFFIX))


def shard_name(base: str, number: int) -> str:
  """Returns the name of a file, by its number from 0."""
  return f'{base}_{number}{SUFFIX}'


def by_base(names: Iterable[str]) -> dict[str, dict[int, str]]:
  """Sorts the names of older files among `names`.

  Returns:
    For each base name the names by number, in numeric order.
  """
  found: dict[str, dict[int, str]] = collections.defaultdict(dict)
  for name in names:
    if match := _NUMBERED.fullmatch(name):
      found[match[1]][int(match[2])] = name
  return {
    base: dict(sorted(numbers.items())) for base, numbers in found.items()
  }
