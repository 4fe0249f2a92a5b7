"""Reads and adopts the raw TFRecord files of the older `images_to_tfrec.py`.

Their records are those of this package's builder, so all this reads its shards
too.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import tensorflow as tf

from imagenet_val_tfrec.adoption import adopt
from imagenet_val_tfrec.core import workers
from imagenet_val_tfrec.pipeline import image_ops, preprocessing, read

__all__ = ['adopt', 'input_fn', 'parser']

Preprocess = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

# The usual central crop: 224 pixels of an image whose short side is 256.
_RESIZE = 256 / 224


def parser(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Decodes one record; works eagerly and in `tf.data.Dataset.map`.

  Args:
    record: A serialised example, string [].

  Returns:
    The image, uint8 [height, width, 3], also of gray and CMYK; the label,
    int32 [].

  Raises:
    tf.errors.InvalidArgumentError: if a field is missing, the label is out of
      range, the image does not decode, or it is not as high and wide as the
      record says. `imagenet_val_tfrec verify` tells in which file.

  Example:
    >>> records = tf.data.TFRecordDataset('tfrecords/data_0.tfrecord')
    >>> for image, label in records.map(legacy.parser).take(2):
    ...   print(image.shape, int(label))
    (240, 240, 3) 985
    (180, 150, 3) 417
  """
  fields = image_ops.parse_record(record)
  image = tf.ensure_shape(image_ops.decode(fields), [None, None, 3])
  return image, image_ops.label_of(fields)


def input_fn(
  tfrec_dir: str | os.PathLike[str],
  batchsize: int,
  height: int,
  width: int,
  *,
  preprocess: Preprocess | None = None,
  drop_remainder: bool = True,
  shuffle_buffer: int = 0,
  seed: int | None = None,
  repeat: bool = False,
) -> tf.data.Dataset:
  """Yields batches of all files in a folder, for `model.fit` or `evaluate`.

  The files are counted by their frames first, which takes some 5 µs a record.

  Args:
    tfrec_dir: Holds `NAME_0.tfrecord` and so on, read in numeric order:
      `NAME_10` after `NAME_9`.
    batchsize: Examples in a batch.
    height: Of the images, in pixels.
    width: Of the images, in pixels.
    preprocess: Makes an image of that height and width, and its label, from
      what `parser` returns. By default `pipeline.preprocess` does: it resizes
      the short side to 256 / 224 of the larger of both and crops the centre.
    drop_remainder: Whether to leave out a last batch that is not full.
    shuffle_buffer: How many encoded examples to shuffle at a time (0: none).
    seed: Of the shuffling.
    repeat: Whether to begin anew at the end, for ever.

  Returns:
    A dataset of images, float32 [batch, height, width, 3], 0..255 (or what
    `preprocess` makes of them), and labels, int32 [batch].

  Raises:
    FileNotFoundError: if there are no such files.
    errors.InputError: if a number is missing, or a file was cut.

  Example:
    >>> for images, labels in legacy.input_fn('tfrecords', 4, 224, 224):
    ...   print(images.shape, labels.numpy())
    (4, 224, 224, 3) [985 417 970 978]
    (4, 224, 224, 3) [971 599 920 879]
  """

  def example(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    if preprocess is not None:
      return preprocess(*parser(record))
    return preprocessing.preprocess(
      record,
      image_size=(height, width),
      resize_size=round(max(height, width) * _RESIZE),
    )

  # One file after the other: reading takes a twentieth of the time.
  dataset = read.read_in_order(read.find_older(tfrec_dir))
  if shuffle_buffer:
    dataset = dataset.shuffle(shuffle_buffer, seed=seed)
  if repeat:
    dataset = dataset.repeat()
  calls = 2 * workers.num_cpus()
  dataset = dataset.map(example, num_parallel_calls=calls, deterministic=True)
  dataset = dataset.batch(batchsize, drop_remainder=drop_remainder)
  options = tf.data.Options()
  options.autotune.enabled = False
  return dataset.prefetch(2).with_options(options)
