"""Examples → a frozen plan of shards, before a byte is written.

The plan is the truth: it fixes names, labels, order, counts and file names. A
shard of it is small and picklable, and all that a worker gets.
"""

from __future__ import annotations

import array
import dataclasses
import hashlib
import itertools
import random
from collections.abc import Iterator, Sequence

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import join
from imagenet_val_tfrec.inputs import labels as labels_lib
from imagenet_val_tfrec.records import jpeg
from imagenet_val_tfrec.records import record as record_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
  """One file to write: all that a worker needs, and small."""

  filename: str
  file_format: str  # 'tfrecord' or 'array_record'
  examples: join.Examples
  checks: jpeg.Checks
  with_keys: bool = False  # Whether its note tells its images apart.

  def digest(self) -> str:
    """Returns hex digits that differ from those of any other shard."""
    examples = self.examples
    what = self.filename, self.file_format, examples.source, self.checks
    keys = ('with keys',) * self.with_keys
    what_all = (*what, *keys, examples.fingerprint())
    sha256 = hashlib.sha256(repr(what_all).encode())
    for numbers in (examples.offsets, examples.mtimes, examples.folder_ids):
      sha256.update(array.array('q', numbers).tobytes())
    return sha256.hexdigest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """A frozen plan of the shards of a split, of 1 example or more each."""

  examples: join.Examples
  lengths: Sequence[int]
  filenames: Sequence[str]
  file_format: str = 'tfrecord'
  checks: jpeg.Checks = dataclasses.field(default_factory=jpeg.Checks)
  with_keys: bool = False

  def __post_init__(self) -> None:
    total, least = sum(self.lengths), min(self.lengths)
    if total != len(self.examples) or least < 1:
      raise ValueError(
        f'shard lengths add up to {total}, the least being {least}; expected '
        f'{len(self.examples)} in all and 1 at least'
      )

  def shards(self) -> Iterator[Shard]:
    """Yields the shards, made as they are asked for."""
    ends = itertools.accumulate(self.lengths)
    shards = zip(self.filenames, self.lengths, ends, strict=True)
    for filename, length, end in shards:
      yield Shard(
        filename=filename,
        file_format=self.file_format,
        examples=self.examples.part(end - length, end),
        checks=self.checks,
        with_keys=self.with_keys,
      )

  def total_bytes(self) -> int:
    """Returns how many bytes all shards take, at most."""
    overhead = self.examples.overhead() * len(self.examples)
    return self.examples.image_bytes() + overhead


def shuffled(labels: labels_lib.Labels, seed: int) -> labels_lib.Labels:
  """Returns them in an order that follows from their number and the seed alone.

  Python promises the numbers of `random.Random(seed).random()` for all times
  (docs.python.org/3/library/random.html#notes-on-reproducibility), but not
  those of `shuffle`, nor does NumPy. They have 53 bits: equal on all machines.
  """
  draw = random.Random(seed).random
  order = sorted(range(len(labels)), key=lambda _: draw())
  return labels.in_order(order)


def shard_lengths(
  sizes: Sequence[int],
  number: int,
  *,
  max_bytes: int = 0,
  overhead: int = record_lib.MAX_OVERHEAD,
) -> list[int]:
  """Returns how many examples go in each shard, as evenly as can be.

  There are more shards than `number` if one would be larger than `max_bytes`
  (0: any size), with `overhead` more for each image. Raises InputError if there
  are fewer images than shards, or one is larger than a shard may be.
  """
  if not 1 <= number <= len(sizes):
    raise errors.InputError(
      f'{number:,} shards for {len(sizes):,} images; expected at most one for '
      'each image (--num_shards)'
    )
  totals = list(itertools.accumulate(sizes, initial=0)) if max_bytes else []
  while True:
    ends = [round(len(sizes) * i / number) for i in range(number + 1)]
    if not max_bytes:
      break
    largest = max(
      totals[end] - totals[start] + (end - start) * overhead
      for start, end in itertools.pairwise(ends)
    )
    if largest <= max_bytes:
      break
    if number == len(sizes):
      raise errors.InputError(
        f'an image takes {largest:,} bytes, more than a shard may have: '
        f'{max_bytes:,} (--max_shard_size_mb)'
      )
    number = min(len(sizes), max(number + 1, number * largest // max_bytes))
  return [end - start for start, end in itertools.pairwise(ends)]
