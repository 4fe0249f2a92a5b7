"""Examples → a frozen plan of shards, before a byte is written.

The plan is the truth: it fixes names, labels, order, counts and file names. A
shard of it is small and picklable, and all that a worker gets.
"""

from __future__ import annotations

import array
import dataclasses
import hashlib
import itertools
from collections.abc import Iterator, Sequence

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import entries, join, sources
from imagenet_val_tfrec.records import jpeg
from imagenet_val_tfrec.records import record as record_lib


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
  """One file to write: all that a worker needs.

  Attributes:
    filename: Of the shard.
    file_format: `'tfrecord'` or `'array_record'`.
    source: Where the images are.
    label_file: For messages.
    paths: Of the images in the source, in order.
    labels: Of the images.
    lines: Of the images in the label file, for messages.
    offsets: As in `join.Examples`.
    sizes: As in `join.Examples`.
    mtimes: As in `join.Examples`.
    checks: What is refused in an image.
  """

  filename: str
  file_format: str
  source: sources.ImageSource
  label_file: str
  paths: Sequence[str]
  labels: Sequence[int]
  lines: Sequence[int]
  offsets: Sequence[int]
  sizes: Sequence[int]
  mtimes: Sequence[int]
  checks: jpeg.Checks

  def __len__(self) -> int:
    return len(self.paths)

  def examples(self) -> Iterator[tuple[entries.Entry, int]]:
    """Yields each image's entry in the source, and its label, in order."""
    for i, path in enumerate(self.paths):
      where = self.offsets[i], self.sizes[i], self.mtimes[i]
      yield entries.Entry(path, *where), self.labels[i]

  def where(self, index: int) -> str:
    """Returns how a message names the image at `index`."""
    name = errors.quoted(self.paths[index])
    return f'{self.label_file}:{self.lines[index]}: {name}'

  def digest(self) -> str:
    """Returns what tells this shard from any other, as hex digits."""
    sha256 = hashlib.sha256(
      repr((self.filename, self.file_format, self.source, self.checks)).encode()
    )
    sha256.update('\n'.join(self.paths).encode('utf-8', 'surrogateescape'))
    for numbers in (self.labels, self.offsets, self.sizes, self.mtimes):
      sha256.update(array.array('q', numbers).tobytes())
    return sha256.hexdigest()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """A frozen plan of shards.

  Attributes:
    examples: All examples, in order.
    lengths: Number of examples in each shard, each 1 or more.
    filenames: Of the shards.
    file_format: `'tfrecord'` or `'array_record'`.
    checks: What is refused in an image.
  """

  examples: join.Examples
  lengths: Sequence[int]
  filenames: Sequence[str]
  file_format: str = 'tfrecord'
  checks: jpeg.Checks = dataclasses.field(default_factory=jpeg.Checks)

  def __post_init__(self) -> None:
    if len(self.lengths) != len(self.filenames):
      raise ValueError(
        f'{len(self.lengths)} shard lengths for {len(self.filenames)} files'
      )
    if min(self.lengths) < 1 or sum(self.lengths) != len(self.examples):
      raise ValueError(
        f'shard lengths add up to {sum(self.lengths)}, the least being '
        f'{min(self.lengths)}; expected {len(self.examples)} in all and 1 at '
        'least'
      )

  def shards(self) -> Iterator[Shard]:
    """Yields the shards, made as they are asked for."""
    examples = self.examples
    starts = itertools.accumulate(self.lengths, initial=0)
    for start, length, filename in zip(
      starts, self.lengths, self.filenames, strict=False
    ):
      part = slice(start, start + length)
      folders = (examples.folders[i] for i in examples.folder_ids[part])
      names = examples.labels.names[part]
      yield Shard(
        filename=filename,
        file_format=self.file_format,
        source=examples.source,
        label_file=examples.labels.path,
        paths=[f + n for f, n in zip(folders, names, strict=True)],
        labels=examples.labels.labels[part],
        lines=examples.labels.lines[part],
        offsets=examples.offsets[part],
        sizes=examples.sizes[part],
        mtimes=examples.mtimes[part],
        checks=self.checks,
      )

  def total_bytes(self) -> int:
    """Returns the room that all shards take, at most."""
    overhead = record_lib.MAX_OVERHEAD * len(self.examples)
    return self.examples.image_bytes() + overhead


def one_shard(examples: join.Examples, checks: jpeg.Checks) -> Shard:
  """Returns all examples as a single shard, to read them in one go."""
  plan = Plan(
    examples=examples, lengths=[len(examples)], filenames=[''], checks=checks
  )
  return next(plan.shards())


def shard_lengths(
  sizes: Sequence[int], number: int, *, max_bytes: int = 0
) -> list[int]:
  """Returns how many examples go in each shard, as evenly as can be.

  Args:
    sizes: Of the images, in bytes.
    number: How many shards, at least.
    max_bytes: Most bytes of a shard (0: any); there may be more shards then.

  Returns:
    The number of examples of each shard.

  Raises:
    ValueError: if there are fewer images than shards, or one image is larger
      than a shard may be.
  """
  if not 1 <= number <= len(sizes):
    raise ValueError(
      f'{number:,} shards for {len(sizes):,} images; expected at most one for '
      'each image (--num_shards)'
    )
  totals = list(itertools.accumulate(sizes, initial=0)) if max_bytes else []
  while True:
    ends = [round(len(sizes) * i / number) for i in range(number + 1)]
    if not max_bytes:
      break
    largest = max(
      totals[end] - totals[start] + (end - start) * record_lib.MAX_OVERHEAD
      for start, end in itertools.pairwise(ends)
    )
    if largest <= max_bytes:
      break
    if number == len(sizes):
      raise ValueError(
        f'an image takes {largest:,} bytes, more than a shard may have: '
        f'{max_bytes:,} (--max_shard_size_mb)'
      )
    number = min(len(sizes), max(number + 1, number * largest // max_bytes))
  return [end - start for start, end in itertools.pairwise(ends)]
