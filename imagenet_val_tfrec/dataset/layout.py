"""Which shards TFDS wants: their number, lengths, names and format."""

from __future__ import annotations

from typing import Any

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import join
from imagenet_val_tfrec.records import jpeg, outputs
from imagenet_val_tfrec.records import record as record_lib
from imagenet_val_tfrec.writing import plan as plan_lib


def plan_shards(
  examples: join.Examples,
  template: Any,
  file_format: Any,
  shard_config: Any,
  checks: jpeg.Checks,
) -> plan_lib.Plan:
  """Plans the shards of a split as TFDS would lay them out.

  Takes TFDS's `ShardedFileTemplate`, `FileFormat` and `ShardConfig`. The last
  decides on the number of shards, but not by its `max_shard_size`
  (docs/faults.py max_shard_size): we do. InputError says that the format loses
  or disorders examples, ValueError that images cannot be laid out so.
  """
  if file_format.value not in outputs.FILE_FORMATS:
    raise errors.InputError(
      f'file_format is {file_format.value!r}, expected one of '
      f'{", ".join(map(repr, outputs.FILE_FORMATS))}: the others do not read '
      'back every example in order'
    )
  total = examples.image_bytes() + len(examples) * record_lib.MAX_OVERHEAD
  lengths = plan_lib.shard_lengths(
    examples.sizes,
    shard_config.get_number_shards(total, len(examples)),
    max_bytes=0 if shard_config.num_shards else shard_config.max_shard_size,
  )
  paths = template.sharded_filepaths(num_shards=len(lengths))
  return plan_lib.Plan(
    examples=examples,
    lengths=lengths,
    filenames=[path.name for path in paths],
    file_format=file_format.value,
    checks=checks,
  )
