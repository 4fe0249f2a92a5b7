"""Input pipelines for evaluation and training, at the speed of the decoder.

A single parallel map does all that is done to one example (`preprocessing`).
For training, it serves all epochs: with one for each, processors would be idle
at the end of an epoch. Autotuning is off, as decoding keeps all processors busy
anyway, and iterators may take seconds to end (docs/faults.py autotune).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import tensorflow as tf

from imagenet_val_tfrec.core import workers
from imagenet_val_tfrec.pipeline import preprocessing, read
from imagenet_val_tfrec.pipeline.options import (
  Sides,
  check_choice,
  check_integer,
)
from imagenet_val_tfrec.pipeline.preprocessing import preprocess
from imagenet_val_tfrec.pipeline.recipes import Recipe

LastBatch = Literal['keep', 'drop', 'pad']
Transform = Callable[[tf.Tensor], tf.Tensor]


def evaluation_dataset(
  source: read.Source,
  batch_size: int,
  *,
  split: str = read.WHOLE_SPLIT,
  recipe: Recipe | None = None,
  image_size: Sides = 224,
  resize_size: Sides = 256,
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
    split: A split of TFDS, such as `validation[:10%]`; of raw files, only
      `validation`.
    recipe: What the model expects, see `imagenet_val_tfrec.recipes`. It says
      all of the next four, and `label_offset`.
    image_size: See `preprocess`, like the next three.
    resize_size: See `preprocess`.
    antialias: See `preprocess`.
    mode: See `preprocess`; 'exact' or 'fast'.
    last_batch: If the last one is not full: 'keep' it so, 'drop' it, or 'pad'
      it. With 'pad' all batches have the same shape and a third part, weights,
      float32 [batch], 1 for an example and 0 for padding. `model.evaluate` is
      then right in its `weighted_metrics`, but not in the loss, which Keras
      divides by the size of the batch.
    label_offset: Added to the labels: 1 for models with a class 0 of their own.
    transform: Applied to each batch of images, e.g. Keras's `preprocess_input`.
    num_parallel_calls: How many examples are worked on at once, or
      `tf.data.AUTOTUNE`; by default two for each processor.
    autotune: Whether tf.data may tune itself, by default those calls, too.

  Returns:
    A dataset of images, float32 [batch, height, width, 3], 0..255 (or what
    `recipe` and then `transform` make of them), and labels, int32 [batch].

  Raises:
    ValueError: if options are out of range or exclude each other, the source
      is not prepared, has other features or a cut file, or nothing is left, as
      the only batch would be dropped.
    FileNotFoundError: if there is nothing at that path.

  Example:
    >>> for images, labels in pipeline.evaluation_dataset('data', 5):
    ...   print(images.shape, labels.numpy())
    (5, 224, 224, 3) [985 417 970 978 971]
    (3, 224, 224, 3) [599 920 879]
  """
  batch_size = check_integer('batch_size', batch_size, 1)
  label_offset = check_integer('label_offset', label_offset, 0)
  preprocessing.check_options(image_size, resize_size, mode)
  _check_recipe(
    recipe,
    image_size=image_size != 224,
    resize_size=resize_size != 256,
    antialias=antialias,
    mode=mode != 'exact',
    label_offset=label_offset,
  )
  if recipe is not None:
    label_offset = recipe.label_offset
  if mode == 'random':
    raise ValueError(
      f"mode is {mode!r}, expected 'exact' or 'fast'; for random crops there "
      'is training_dataset'
    )
  check_choice('last_batch', last_batch, LastBatch)
  parallel = _parallel(num_parallel_calls, autotune)
  files = read.find_files(source, split)
  if last_batch == 'drop':
    read.check_batch(files, split, batch_size)

  def example(record: tf.Tensor) -> tuple[tf.Tensor, ...]:
    if recipe is not None:
      image, label = preprocessing.follow(recipe, record, files.num_classes)
    else:
      image, label = preprocess(
        record,
        image_size=image_size,
        resize_size=resize_size,
        antialias=antialias,
        mode=mode,
        num_classes=files.num_classes,
      )
    weight = (1.0,) if last_batch == 'pad' else ()
    return image, label + label_offset, *weight

  dataset = read.read_in_order(files).map(read.as_it_is(example), **parallel)
  if last_batch == 'pad':
    image, *_ = dataset.element_spec
    nothing = tf.zeros(image.shape), label_offset, 0.0
    padding = tf.data.Dataset.from_tensors(nothing)
    # One less than a batch fills any last batch, and never makes one more.
    dataset = dataset.concatenate(padding.repeat(batch_size - 1))
  dataset = dataset.batch(batch_size, drop_remainder=last_batch != 'keep')
  return _finish(dataset, transform, autotune)


def training_dataset(
  source: read.Source,
  batch_size: int,
  *,
  split: str = read.WHOLE_SPLIT,
  image_size: Sides = 224,
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

  What an epoch yields follows from the seed and its number alone, not from the
  machine. So a run that has finished 7 epochs goes on with `first_epoch=7`
  (in `model.fit`, with examples // `batch_size` as `steps_per_epoch`). The last
  examples of an epoch, fewer than a batch, are left out: others every time.

  Args:
    source: As in `evaluation_dataset`.
    batch_size: Examples in a batch.
    split: As in `evaluation_dataset`.
    image_size: Height and width of the images, or a pair of them.
    seed: Of the order, the crops and the flips; any int64.
    epochs: How many to yield; without end if None, for `model.fit` with
      `steps_per_epoch`.
    first_epoch: Number of the first one.
    shuffle_buffer: How many examples, still encoded, are shuffled at a time (a
      quarter more wait behind them); shards are shuffled, and read in turns.
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

  Example:
    >>> batches = pipeline.training_dataset('data', 4, seed=1, epochs=2)
    >>> [images.shape for images, labels in batches.take(2)]
    [TensorShape([4, 224, 224, 3]), TensorShape([4, 224, 224, 3])]
    >>> len(batches)
    4
  """
  batch_size = check_integer('batch_size', batch_size, 1)
  label_offset = check_integer('label_offset', label_offset, 0)
  seed = check_integer('seed', seed, tf.int64.min, tf.int64.max)
  first_epoch = check_integer('first_epoch', first_epoch, 0)
  shuffle_buffer = check_integer('shuffle_buffer', shuffle_buffer, 1)
  check_integer('epochs', 1 if epochs is None else epochs, 1)
  preprocessing.check_options(image_size, 0, 'random')
  parallel = _parallel(num_parallel_calls, autotune)
  files = read.find_files(source, split)
  read.check_batch(files, split, batch_size)

  def epoch(number: tf.Tensor) -> tf.data.Dataset:
    epoch_seed = tf.random.fold_in(tf.constant([seed, 0], tf.int64), number)
    records = read.read_shuffled(files, epoch_seed, shuffle_buffer)
    # Here the last batch is left out, as behind the map epochs are one stream.
    records = records.batch(batch_size, drop_remainder=True).unbatch()
    seeds = tf.data.Dataset.from_tensors(epoch_seed).repeat()
    return tf.data.Dataset.zip(seeds, records.enumerate())

  def example(
    epoch_seed: tf.Tensor, numbered: tuple[tf.Tensor, tf.Tensor]
  ) -> tuple[tf.Tensor, tf.Tensor]:
    index, record = numbered
    image, label = preprocess(
      record,
      image_size=image_size,
      antialias=antialias,
      mode='random',
      seed=tf.random.fold_in(epoch_seed, index),
      area=area,
      aspect_ratio=aspect_ratio,
      num_classes=files.num_classes,
    )
    return image, label + label_offset

  numbers = tf.data.Dataset.counter(first_epoch)
  if epochs is not None:
    numbers = numbers.take(epochs)
  # At hand while the next epoch fills its buffer, ten times as fast as the map.
  dataset = numbers.flat_map(read.as_it_is(epoch)).prefetch(
    shuffle_buffer // 4 + 1
  )
  dataset = dataset.map(read.as_it_is(example), **parallel)
  dataset = dataset.batch(batch_size, drop_remainder=True)
  steps = tf.data.INFINITE_CARDINALITY
  if epochs is not None and files.total is not None:
    steps = epochs * (files.total // batch_size)
  if epochs is None or files.total is not None:
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
  return _finish(dataset, transform, autotune)


def _check_recipe(recipe: Recipe | None, **given: bool | int) -> None:
  also = [name for name, is_given in given.items() if is_given]
  if recipe is not None and also:
    raise ValueError(
      f'recipe says {", ".join(also)}, too; leave it out, or use '
      'dataclasses.replace(recipe, …)'
    )


def _parallel(num_parallel_calls: int | None, autotune: bool) -> dict[str, Any]:
  """Returns the arguments of a map that keeps all processors busy."""
  number = num_parallel_calls
  if number is None:
    number = tf.data.AUTOTUNE if autotune else 2 * workers.num_cpus()
  elif number != tf.data.AUTOTUNE:
    number = check_integer('num_parallel_calls', number, 1)
  return {'num_parallel_calls': number, 'deterministic': True}


def _finish(
  dataset: tf.data.Dataset, transform: Transform | None, autotune: bool
) -> tf.data.Dataset:
  if transform is not None:
    try:
      dataset = dataset.map(
        lambda images, *others: (transform(images), *others)
      )
    except Exception as e:
      raise ValueError(
        f'transform failed inside tf.data ({type(e).__name__}: {e}). There it '
        'must be made of TensorFlow operations; `preprocess_input` of Keras is '
        "not, with the backends jax and torch: pass recipe=recipes.keras('…') "
        'instead'
      ) from e
  options = tf.data.Options()
  options.autotune.enabled = autotune
  return dataset.prefetch(2).with_options(options)
