"""What a dataset was made from: kept in `info.metadata`, asked before reuse."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import Any

import tensorflow_datasets as tfds

from imagenet_val_tfrec import errors, join, shards, storage

# In the metadata of datasets that were adopted, not built.
ADOPTED_FROM = 'adopted_from'

_ADVICE = 'Build with --overwrite to replace it, or remove the folder'
_MOST_CLASSES = 100_000  # Whose names are compared.


def describe(
  examples: join.Examples, summary: shards.Summary
) -> dict[str, Any]:
  """Returns what `info.metadata` says of the input."""
  return {
    'source_kind': examples.source.kind,
    'source_name': os.path.basename(examples.source.path.rstrip('/')),
    'label_file': os.path.basename(examples.labels.path),
    'label_file_sha256': examples.labels.sha256,
    'images': len(examples),
    'image_bytes': examples.image_bytes(),
    'chans': summary.chans,
    'fingerprint': examples.fingerprint(),
  }


def check_absent(target: str, overwrite: bool) -> None:
  """Raises InputError if a dataset came to be there in the meantime."""
  if storage.exists(target) and not overwrite:
    raise errors.InputError(
      f'{target}: this dataset was just built by another process, or put back '
      'as an interrupted --overwrite was about to replace it; run this again'
    )


def check(
  builder: tfds.core.DatasetBuilder, find: Callable[[], join.Examples]
) -> None:
  """Checks that the dataset that is there is the one that would be built.

  Args:
    builder: Of the dataset.
    find: Finds today's input; where there is none, the dataset is what it is.

  Raises:
    errors.InputError: if only a part of it is there, or it was made from other
      input.
  """
  _check_whole(builder)
  _check_same_classes(builder)
  try:
    examples = find()
  except (FileNotFoundError, AssertionError):  # TFDS asserts manual_dir.
    return
  except errors.InputError as e:
    warnings.warn(
      f'{builder.data_dir} is taken as it is: what is there to build from '
      f'cannot be used: {e}',
      stacklevel=3,
    )
    return
  _check_same_input(builder.info, examples)


def _check_whole(builder: tfds.core.DatasetBuilder) -> None:
  expected = [os.path.join(builder.data_dir, 'dataset_info.json')]
  for split in builder.info.splits.values():
    expected += map(os.fspath, split.filepaths)
  missing = [path for path in expected if not storage.exists(path)]
  if missing or not builder.info.splits:
    names = [os.path.basename(path) for path in missing]
    raise errors.InputError(
      f'{builder.data_dir}: there is a folder, but no whole dataset in it '
      f'(missing: {errors.some(names) or "a split"}). {_ADVICE}'
    )


def _check_same_classes(builder: tfds.core.DatasetBuilder) -> None:
  # TFDS lets other names pass, and tells of today's while the old stay there.
  there = tfds.features.FeaturesDict.from_config(builder.data_dir)['label']
  today = builder.info.features['label']
  if today.num_classes and _names(there) != _names(today):
    raise errors.InputError(
      f'{builder.data_dir}: this dataset has {there.num_classes:,} classes, '
      f"{errors.some(_names(there))}; today's config has "
      f'{today.num_classes:,}, {errors.some(_names(today))}. {_ADVICE}'
    )


def _names(label: tfds.features.ClassLabel) -> list[str]:
  # TFDS makes up a name for each number, of which there may be billions.
  if label.num_classes > _MOST_CLASSES:
    return [f'0..{label.num_classes - 1}']
  names: list[str] = label.names
  return names


def _check_same_input(
  info: tfds.core.DatasetInfo, examples: join.Examples
) -> None:
  metadata = info.metadata or {}
  number = info.splits.total_num_examples
  if ADOPTED_FROM in metadata and number == len(examples):
    return  # Records hold no names that could be compared.
  made_from = metadata.get('fingerprint', 'none')
  today = examples.fingerprint()
  if made_from != today:
    raise errors.InputError(
      f'{info.data_dir}: this dataset was made from other input: '
      f'{number:,} images, fingerprint {made_from}; '
      f"today's input is {len(examples):,} images, fingerprint {today}. "
      f'{_ADVICE}; to load it as it is: tfds.load(…, download=False)'
    )
