"""Images that are in two splits: a model would be tested by what it learned."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import join


def check(
  examples: Mapping[str, join.Examples],
  keys: Mapping[str, Sequence[int]],
  refuse: bool,
) -> int:
  """Returns how many images of a split are in one before it, too; warns.

  Raises InputError where they are to be refused. Images of one key count as the
  same: see `writing.shards.Summary`.
  """
  messages, total = [], 0
  for first, second in itertools.combinations(examples, 2):
    a, b = (np.asarray(keys[split]) for split in (first, second))
    order = np.argsort(a)
    at = order[np.searchsorted(a, b, sorter=order) % len(a)]
    found = np.flatnonzero(a[at] == b)
    lines = (
      f'{examples[second].where(i)}, as {examples[first].where(j)}'
      for i, j in zip(found.tolist(), at[found].tolist(), strict=True)
    )
    if found.size:
      what = f'images of split {second!r} are in {first!r}, too'
      messages.append(errors.offenders(what, lines))
      total += found.size
  if messages and refuse:
    raise errors.InputError('\n'.join([*messages, 'Keep each in one split.']))
  if messages:
    advice = 'To make that an error, say refuse_duplicates in the config.'
    warnings.warn('\n'.join([*messages, advice]), stacklevel=2)
  return total
