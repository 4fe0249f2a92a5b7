"""Input pipelines for evaluation and training, at the speed of the decoder.

Records go through a single parallel map, which does all that is done to one
example (`preprocessing`), and then into batches.

How many examples are worked on at once is fixed, from the number of
processors, and autotuning is off: decoding keeps all of them busy anyway, and
with autotuning on, iterators were seen to hang for seconds when they end.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any, Literal, get_args

import tensorflow as tf

from imagenet_val_tfrec import image_ops, prepared, preprocessing, runners
from imagenet_val_tfrec.preprocessing import preprocess

__all__ = ['evaluation_dataset', 'preprocess', 'training_dataset']

LastBatch = Literal['keep', 'drop', 'pad']
Transform = Callable[[tf.Tensor], tf.Tensor]


def evaluation_dataset(
  source: prepared.Source,
  batch_size: int,
  *,
  split: str = prepared.WHOLE_SPLIT,
  image_size: int | image_ops.Size = 224,
  resize_size: int = 256,
  antialias: bool = False,
  mode: preprocessing.Mode = 'exact',
  last_batch: LastBatch = 'keep',
  label_offset: int = 0,
  transform: Transform | None = None,
  num_parallel_calls: int | None = None,
  autotune: bool = False,
) -> tf.data.Dataset:
  """Yields every example once, in the order of the label file.

  Args:
    source: A prepared builder; its `data_dir`, or the version folder in it; or
      a folder of older raw files, `NAME_0.tfrecord` and so on.
    batch_size: Examples in a batch.
    split: A split of TFDS, such as `validation[:10%]`. Raw files have no other
      than `validation`.
    image_size: See `preprocess`, like the next three.
    resize_size: See `preprocess`.
    antialias: See `preprocess`.
    mode: See `preprocess`; 'exact' or 'fast'.
    last_batch: If the last one is not full: 'keep' it so, 'drop' it, or 'pad'
      it. With 'pad' all batches have the same shape and a third part, weights,
      float32 [batch], 1 for an example and 0 for padding. `model.evaluate` then
      is right in what was compiled as `weighted_metrics`; in the loss it is
      not, as Keras divides that by the size of the batch.
    label_offset: Added to the labels: 1 for models with a class 0 of their own.
    transform: What is done to each batch of images, e.g. a `preprocess_input`
      of Keras.
    num_parallel_calls: How many examples are worked on at once; by default
      two for each processor.
    autotune: Whether tf.data may tune itself; then, by default, also the
      number of parallel calls.

  Returns:
    A dataset of images, float32 [batch, height, width, 3], 0..255 (or what
    `transform` makes of them), and labels, int32 [batch].

  Raises:
    ValueError: if options are out of range or exclude each other, the source
      is not prepared, or of other features, or a file of it was cut.
    FileNotFoundError: if there is nothing at that path.
  """
  _check_batches(batch_size, label_offset)
  size = preprocessing.check_options(image_size, resize_size, mode)
  if mode == 'random':
    raise ValueError(
      f"mode is {mode!r}, expected 'exact' or 'fast'; for random crops there "
      'is training_dataset'
    )
  if last_batch not in get_args(LastBatch):
    raise ValueError(
      f'last_batch is {last_batch!r}, expected one of '
      f'{", ".join(map(repr, get_args(LastBatch)))}'
    )

  shards = prepared.find_shards(source, split)

  def example(record: tf.Tensor) -> tuple[tf.Tensor, ...]:
    image, label = preprocess(
      record,
      image_size=image_size,
      resize_size=resize_size,
      antialias=antialias,
      mode=mode,
      num_classes=shards.num_classes,
    )
    weight = (1.0,) if last_batch == 'pad' else ()
    return image, label + label_offset, *weight

  dataset = prepared.read_in_order(shards)
  dataset = dataset.map(example, **_parallel(num_parallel_calls, autotune))
  if last_batch == 'pad':
    padding = tf.data.Dataset.from_tensors(
      (tf.zeros([*size, 3]), label_offset, 0.0)
    )
    # One less than a batch fills any last batch, and never makes one more.
    dataset = dataset.concatenate(padding.repeat(batch_size - 1))
  dataset = dataset.batch(batch_size, drop_remainder=last_batch != 'keep')
  return _finish(dataset, transform, autotune)


def training_dataset(
  source: prepared.Source,
  batch_size: int,
  *,
  split: str = prepared.WHOLE_SPLIT,
  image_size: int | image_ops.Size = 224,
  seed: int = 0,
  epochs: int | None = None,
  first_epoch: int = 0,
  shuffle_buffer: int = 1024,
  area: tuple[float, float] = (0.08, 1.0),
  aspect_ratio: tuple[float, float] = (3 / 4, 4 / 3),
  antialias: bool = False,
  label_offset: int = 0,
  transform: Transform | None = None,
  num_parallel_calls: int | None = None,
  autotune: bool = False,
) -> tf.data.Dataset:
  """Yields shuffled examples, randomly cropped and flipped, for training.

  What an epoch yields follows from the seed and its number alone (and from
  `tf.random.set_seed`, where that was called), not from the machine. So a run
  that ended in epoch 7 goes on with `first_epoch=7`. The last examples of an
  epoch, fewer than a batch, are left out; which ones, differs every time.

  Args:
    source: As in `evaluation_dataset`.
    batch_size: Examples in a batch.
    split: As in `evaluation_dataset`.
    image_size: Height and width of the images, or a pair of them.
    seed: Of the order, the crops and the flips.
    epochs: How many to yield, one after the other; without end if None, for
      `model.fit` with `steps_per_epoch`.
    first_epoch: Number of the first one.
    shuffle_buffer: How many examples, still encoded, are shuffled at a time.
      Beyond it, shards are shuffled, and read in turns.
    area: Smallest and largest part of an image's area that a crop takes.
    aspect_ratio: Smallest and largest width / height of a crop.
    antialias: See `preprocess`.
    label_offset: As in `evaluation_dataset`.
    transform: As in `evaluation_dataset`.
    num_parallel_calls: As in `evaluation_dataset`.
    autotune: As in `evaluation_dataset`.

  Returns:
    A dataset of images, float32 [batch_size, height, width, 3], 0..255 (or what
    `transform` makes of them), and labels, int32 [batch_size].

  Raises:
    ValueError: as `evaluation_dataset`, and if there are fewer examples than
      go in a batch.
    FileNotFoundError: if there is nothing at that path.
  """
  _check_batches(batch_size, label_offset)
  preprocessing.check_options(image_size, 0, 'random')
  shards = prepared.find_shards(source, split)
  if not list(prepared.read_in_order(shards).skip(batch_size - 1).take(1)):
    raise ValueError(
      f'batch_size is {batch_size}, but there are fewer examples in '
      f'{os.path.dirname(shards.paths[0])} ({split})'
    )

  def example(
    index: tf.Tensor, record: tf.Tensor, epoch_seed: tf.Tensor
  ) -> tuple[tf.Tensor, tf.Tensor]:
    image, label = preprocess(
      record,
      image_size=image_size,
      antialias=antialias,
      mode='random',
      seed=tf.random.fold_in(epoch_seed, index),
      area=area,
      aspect_ratio=aspect_ratio,
      num_classes=shards.num_classes,
    )
    return image, label + label_offset

  def epoch(number: tf.Tensor) -> tf.data.Dataset:
    epoch_seed = tf.random.fold_in(tf.constant([seed, 0], tf.int64), number)
    dataset = prepared.read_shuffled(shards, epoch_seed, shuffle_buffer)
    return (
      dataset.enumerate()
      .map(
        functools.partial(example, epoch_seed=epoch_seed),
        **_parallel(num_parallel_calls, autotune),
      )
      .batch(batch_size, drop_remainder=True)
    )

  numbers = tf.data.Dataset.counter(first_epoch)
  if epochs is not None:
    numbers = numbers.take(epochs)
  dataset = numbers.flat_map(epoch)
  steps = _count_steps(shards.total, batch_size, epochs)
  if steps is not None:
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
  return _finish(dataset, transform, autotune)


def _count_steps(
  total: int | None, batch_size: int, epochs: int | None
) -> int | None:
  """Returns how many batches all epochs have, where that is known."""
  if epochs is None:
    return int(tf.data.INFINITE_CARDINALITY)
  return None if total is None else epochs * (total // batch_size)


def _parallel(num_parallel_calls: int | None, autotune: bool) -> dict[str, Any]:
  """Returns the arguments of a map that keeps all processors busy."""
  if num_parallel_calls is None:
    num_parallel_calls = (
      tf.data.AUTOTUNE if autotune else 2 * runners.num_cpus()
    )
  return {'num_parallel_calls': num_parallel_calls, 'deterministic': True}


def _finish(
  dataset: tf.data.Dataset, transform: Transform | None, autotune: bool
) -> tf.data.Dataset:
  if transform is not None:
    dataset = dataset.map(lambda images, *others: (transform(images), *others))
  options = tf.data.Options()
  options.autotune.enabled = autotune
  return dataset.prefetch(2).with_options(options)


def _check_batches(batch_size: int, label_offset: int) -> None:
  for name, value, least in (
    ('batch_size', batch_size, 1),
    ('label_offset', label_offset, 0),
  ):
    if value < least:
      raise ValueError(f'{name} is {value!r}, expected {least} or more')
