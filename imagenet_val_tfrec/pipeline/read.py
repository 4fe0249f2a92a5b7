"""Reads back what was built: serialised examples, in order or shuffled."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import tensorflow as tf
import tensorflow_datasets as tfds
from etils import epath

from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.records import counting, metadata, raw_files
from imagenet_val_tfrec.records import record as record_lib

Source: TypeAlias = 'tfds.core.DatasetBuilder | str | os.PathLike[str]'

WHOLE_SPLIT = 'validation'

_DATASET = 'imagenet_val_tfrec'
_INTERLEAVED = 8  # Shards that are read in turns, if order does not matter.


class RecordFiles(NamedTuple):
  """Files with records, in order, and which of their records."""

  paths: list[str]
  skips: list[int]  # How many records are passed over at the start of each.
  takes: list[int]  # How many are read then; -1 for all.
  total: int | None  # How many that are, where it is known.
  num_classes: int | None = None  # Where it is known.
  info: tfds.core.DatasetInfo | None = None  # Of a dataset of TFDS.


def find_files(source: Source, split: str) -> RecordFiles:
  """Finds out what `source` is; raises what `evaluation_dataset` does."""
  if isinstance(source, tfds.core.DatasetBuilder):
    _check_scheme(source.data_dir)
    return _files_of(source, split)
  _check_scheme(source)
  folder = epath.Path(source)
  if (folder / metadata.INFO).exists():
    return _files_of(_builder_of(os.fspath(folder)), split)
  if (folder / _DATASET).is_dir():
    return _files_of(tfds.builder(_DATASET, data_dir=folder), split)
  try:
    files = find_older(folder)
  except FileNotFoundError as e:
    raise FileNotFoundError(
      f'{e}; or a data_dir of TFDS, with a folder {_DATASET!r} in it; or a '
      "version folder, with 'dataset_info.json'"
    ) from e
  if split != WHOLE_SPLIT:
    raise ValueError(
      f'split is {split!r}, but {os.fspath(folder)!r} holds raw files, which '
      f'have no other than {WHOLE_SPLIT!r}; adopt them into TFDS to read a part'
    )
  return files


def _builder_of(folder: str) -> tfds.core.DatasetBuilder:
  """Returns the builder of what is in a version folder."""
  metadata.check(folder)
  try:
    return tfds.builder_from_directory(folder)
  except (KeyError, TypeError, ValueError) as e:
    raise errors.InputError(
      f'{folder}: TFDS cannot read its metadata: {errors.quoted(str(e))}. Copy '
      'or build it again'
    ) from e


def find_older(folder: str | os.PathLike[str]) -> RecordFiles:
  """Finds the older raw files in a folder; raises what `input_fn` does."""
  _check_scheme(folder)
  paths = raw_files.legacy_shards(folder)
  none = [0] * len(paths)
  if storage.is_remote(paths[0]):  # A round trip for each record.
    return RecordFiles(paths, none, [-1] * len(paths), None)
  lengths = [counting.count_records(path) for path in paths]
  counting.check_older(paths, lengths)
  return RecordFiles(paths, none, lengths, sum(lengths))


def _check_scheme(folder: str | os.PathLike[str]) -> None:
  path = os.fspath(folder)
  scheme = path.partition('://')[0] if storage.is_remote(path) else ''
  if scheme not in tf.io.gfile.get_registered_schemes():
    raise errors.InputError(
      f'{path}: TensorFlow does not read {scheme}://. Copy the folder to this '
      'machine, or to gs://'
    )


def _files_of(builder: tfds.core.DatasetBuilder, split: str) -> RecordFiles:
  info = builder.info
  where = f'{info.full_name} in {os.fspath(builder.data_dir)!r}'
  if not info.splits:
    raise ValueError(
      f'{where} is not prepared; build it first, or name the version folder of '
      'one that is'
    )
  if metadata.has_lists(info.features):
    raise ValueError(f'{where} has {record_lib.SEVERAL}')
  needed = ('label', 'height', 'width', 'image')
  if missing := [name for name in needed if name not in info.features]:
    raise ValueError(
      f'{where} lacks the features {", ".join(missing)}; expected a dataset '
      f'that {_DATASET} built'
    )
  if info.file_format.value != 'tfrecord':
    raise ValueError(
      f"{where} is of format {info.file_format.value!r}, expected 'tfrecord'; "
      'read it by tfds.data_source'
    )
  parts = info.splits[split].file_instructions
  if not parts:
    raise ValueError(f'split is {split!r}, which holds no example of {where}')
  used = {os.fspath(part.filename) for part in parts}
  for whole in info.splits.values():
    paths = [os.fspath(path) for path in whole.filepaths]
    if used & set(paths):
      # A file that was cut is found, and named, before its records are missed:
      # TensorFlow takes some cuts for the end (docs/faults.py cut_in_header).
      counting.check_dataset(paths, whole.shard_lengths, whole.num_bytes)
  return RecordFiles(
    [os.fspath(part.filename) for part in parts],
    [part.skip for part in parts],
    [part.take for part in parts],
    sum(part.take for part in parts),
    info.features['label'].num_classes,
    info,
  )


def check_batch(files: RecordFiles, split: str, batch_size: int) -> None:
  """Raises ValueError if there are fewer examples than go in a batch."""
  total = files.total
  if total is None and list(read_in_order(files).skip(batch_size - 1).take(1)):
    return
  if total is None or total < batch_size:
    found = 'fewer' if total is None else f'only {total:,}'
    raise ValueError(
      f'batch_size is {batch_size}, but there are {found} examples in '
      f'{os.path.dirname(files.paths[0])} ({split})'
    )


def read_in_order(files: RecordFiles) -> tf.data.Dataset:
  """Reads serialised examples in order; one too many or few is an error."""
  dataset = tf.data.Dataset.from_tensor_slices(files[:3]).flat_map(
    as_it_is(_read)
  )
  if files.total is None:
    return dataset
  return dataset.apply(tf.data.experimental.assert_cardinality(files.total))


def read_shuffled(
  files: RecordFiles, seed: tf.Tensor, buffer_size: int
) -> tf.data.Dataset:
  """Reads serialised examples in an order that follows from `seed`, int [2]."""
  # Not the halves of `seed`: one never changes (docs/faults.py fold_in).
  of_shards, of_records = tf.unstack(tf.random.split(seed))
  order = tf.random.experimental.stateless_shuffle(
    tf.range(len(files.paths)), of_shards
  )
  if not tf.executing_eagerly():
    # `shuffle` mixes its seed with that of the function traced here, which is
    # the user's; where it is 0, `shuffle` refuses a seed that is a tensor
    # (docs/faults.py shuffle_seed). This sets the function's own alone.
    tf.random.set_seed(1)
  shards = tuple(tf.gather(column, order) for column in files[:3])
  dataset = tf.data.Dataset.from_tensor_slices(shards)
  dataset = dataset.interleave(as_it_is(_read), _INTERLEAVED, block_length=1)
  seed = tf.random.stateless_uniform([], of_records, None, None, tf.int64)
  return dataset.shuffle(buffer_size, seed, reshuffle_each_iteration=False)


def as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
  """Spares it AutoGraph, which takes most of the time until a dataset is ready.

  For functions without a branch or loop that depends on tensors.
  """
  as_it_is: Callable[..., Any] = tf.autograph.experimental.do_not_convert(
    function
  )
  return as_it_is


def _read(path: tf.Tensor, skip: tf.Tensor, take: tf.Tensor) -> tf.data.Dataset:
  dataset = tf.data.TFRecordDataset(path)
  return dataset.skip(tf.cast(skip, tf.int64)).take(tf.cast(take, tf.int64))
