"""Records → images of one size: decode, crop and resize in a single step.

Pure functions of tensors: they work eagerly, in a `tf.function`, and in
`tf.data.Dataset.map`, where one call is faster than a chain of maps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from imagenet_val_tfrec.pipeline import image_ops, options, resampling
from imagenet_val_tfrec.pipeline.options import Sides, Size
from imagenet_val_tfrec.pipeline.recipes import Recipe
from imagenet_val_tfrec.records import metadata
from imagenet_val_tfrec.records import record as record_lib

Mode = Literal['exact', 'fast', 'random']
_Range = tuple[float, float]

# Of the scalings 'caffe' (BGR) and 'torch' (means, deviations), as in Keras.
_CAFFE_MEANS = np.array([103.939, 116.779, 123.68])
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# Pixels around a window, for its outermost ones are not those of the whole.
_MARGIN = 2


def preprocess(
  record: tf.Tensor | image_ops.Fields,
  *,
  image_size: Sides = 224,
  resize_size: Sides = 256,
  antialias: bool = False,
  mode: Mode = 'exact',
  seed: Any = None,
  area: tuple[float, float] = (0.08, 1.0),
  aspect_ratio: tuple[float, float] = (3 / 4, 4 / 3),
  num_classes: int | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Makes an image of a record: decoded, cropped, resized.

  Args:
    record: A serialised example, or its fields, the image still encoded (as
      `tfds.load` gives them with `SkipDecoding`).
    image_size: Height and width of the result, or a pair of them.
    resize_size: What the short side is resized to before the central crop; not
      smaller than `image_size`. Or a pair, height and width of the whole, which
      then changes its shape. Not used by 'random'.
    antialias: As in `tf.image.resize`: whether all pixels count where an image
      is made smaller, not only the four next to each sample.
    mode: How the crop is taken:

      'exact': `tf.image.resize` of the whole, the other side rounded by
        `tf.round`, and its central crop, offsets rounded down. Without
        `antialias` bit for bit; with it to 0.05 grey levels (for sides up to
        8,192 pixels; beyond, float32 in `tf.image.resize` is coarser itself).
      'fast': the same crop in whole pixels of the source, decoded alone (at
        half scale where that still has as many pixels as are asked for) and
        then resized. Samples move by up to half a pixel of what is decoded
        (at the edges of enlarged images: by up to one): on photographs 2.5 grey
        levels on average, 99 % of values within 24; antialiasing makes 2.2.
      'random': a random part of the image, resized, and flipped or not, for
        training; decoded as in 'fast'.
    seed: Of 'random', and only for it: int32 or int64 [2].
    area: Of 'random': smallest and largest part of the image's area.
    aspect_ratio: Of 'random': smallest and largest width / height.
    num_classes: If given, labels must be below.

  Returns:
    The image, float32 [height, width, 3], 0..255, and the label, int32 [].

  Raises:
    ValueError: if options are out of range or exclude each other.
    tf.errors.InvalidArgumentError: if a record lacks a field, the label is out
      of range, the image does not decode, or it is not as high and wide as
      stored. ('random' does not look at the header: it notices only a crop that
      leaves the image.)

  Example:
    >>> records = tf.data.TFRecordDataset('tfrecords/data_0.tfrecord')
    >>> for image, label in records.map(pipeline.preprocess).take(2):
    ...   print(image.shape, int(label))
    (224, 224, 3) 985
    (224, 224, 3) 417
  """
  size = check_options(image_size, resize_size, mode)
  _check_random(mode, seed, area, aspect_ratio)
  fields = _fields_of(record)
  if mode == 'exact':
    crop = _antialiased_crop if antialias else _whole_then_crop
    image = crop(fields, size, resize_size)
  elif mode == 'fast':
    begin, end = _nearest_window(fields, size, resize_size)
    image = image_ops.decode_window(fields, begin, end, enough=size)
    image = image_ops.resize(image, size, antialias)
  else:
    crop_seed, flip_seed = tf.unstack(tf.random.split(seed))
    begin, end = _random_window(fields, crop_seed, area, aspect_ratio)
    image = image_ops.decode_window(
      fields, begin, end, enough=size, check=False
    )
    image = tf.image.stateless_random_flip_left_right(image, flip_seed)
    image = image_ops.resize(image, size, antialias)
  image = tf.ensure_shape(image, [*size, 3])
  return image, image_ops.label_of(fields, num_classes)


def follow(
  recipe: Recipe,
  record: tf.Tensor | image_ops.Fields,
  num_classes: int | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
  """Makes of a record what a recipe's model expects.

  Args:
    recipe: What that is.
    record: As for `preprocess`, like the next.
    num_classes: If given, labels must be below.

  Returns:
    The image, float32 [height, width, 3], or [3, height, width] if the recipe
    has `channels_first`, scaled; and the label, int32 [], without its offset.

  Raises:
    tf.errors.InvalidArgumentError: as `preprocess`.
  """
  fields = _fields_of(record)
  size = options.check_sizes(recipe.image_size, recipe.resize_size)
  if recipe.convention == 'tensorflow':
    image = _whole_then_crop(
      fields, size, recipe.resize_size, recipe.interpolation
    )
    if recipe.channels_first:
      image = tf.transpose(image, [2, 0, 1])
  else:
    image = resampling.crop(
      fields,
      size,
      recipe.resize_size,
      recipe.convention,
      cubic=recipe.interpolation == 'bicubic',
      planar=recipe.channels_first,
    )
  image = _scale(image, size, recipe)
  return image, image_ops.label_of(fields, num_classes)


def _scale(image: tf.Tensor, size: Size, recipe: Recipe) -> tf.Tensor:
  """Scales 0..255, float32, as `Recipe` says."""
  shape = [3, *size] if recipe.channels_first else [*size, 3]
  image = tf.ensure_shape(image, shape)
  scaling = recipe.scaling
  if scaling == 'none':
    return image
  if scaling == 'caffe':
    image = tf.reverse(image, [shape.index(3)])
    means, deviations = _CAFFE_MEANS / 255, np.full(3, 1 / 255)
  elif scaling == 'tf':
    means = deviations = np.full(3, 0.5)
  else:
    means, deviations = np.array(_IMAGENET if scaling == 'torch' else scaling)
  factor, offset = 1 / (255 * deviations), means / deviations
  line = np.stack([factor, offset]).astype(np.float32)
  # Broadcast over few long rows, for over many of three it is slow.
  if recipe.channels_first:
    rows, line = 3, line[:, :, None]
  else:
    rows, line = size[0], np.tile(line, size[1])
  image = tf.reshape(image, [rows, -1]) * line[0] - line[1]
  return tf.reshape(image, shape)


def check_options(image_size: Sides, resize_size: Sides, mode: Mode) -> Size:
  """Returns `image_size` as height and width, if the options fit together."""
  options.check_choice('mode', mode, Mode)
  return options.check_sizes(
    image_size, None if mode == 'random' else resize_size
  )


def _fields_of(record: tf.Tensor | image_ops.Fields) -> image_ops.Fields:
  fields = record
  if not isinstance(record, Mapping):
    fields = image_ops.parse_record(record)
  if metadata.has_lists(fields):
    raise ValueError(f'the fields are of {record_lib.SEVERAL}')
  if fields['image'].dtype != tf.string:
    raise ValueError(
      f'image is decoded ({fields["image"].dtype.name}), expected the bytes of '
      "the file: load it with decoders={'image': tfds.decode.SkipDecoding()}"
    )
  return fields


def _check_random(
  mode: Mode, seed: Any, area: _Range, aspect_ratio: _Range
) -> None:
  if (seed is not None) != (mode == 'random'):
    raise ValueError(
      f'seed is {seed!r} and mode {mode!r}; expected a seed for the mode '
      "'random', and for no other"
    )
  for name, (least, most), limit in (
    ('area', area, 1.0),
    ('aspect_ratio', aspect_ratio, float('inf')),
  ):
    if not 0 < least <= most <= limit:
      raise ValueError(
        f'{name} is from {least!r} to {most!r}, expected numbers in order, '
        f'above 0 and not above {limit}'
      )


def _central_crop(
  shape: tf.Tensor, size: Size, resize_size: Sides
) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns what an image is resized to, and where its crop begins: int32 [2].

  In float64 `tf.round` decides on halves as it does on the quotient itself.
  """
  if isinstance(resize_size, Sequence):
    resized = tf.constant(resize_size)
  else:
    pixels = tf.cast(shape, tf.float64)
    resized = tf.round(pixels * resize_size / tf.reduce_min(pixels))
    resized = tf.cast(resized, tf.int32)
  return resized, (resized - size) // 2


def _whole_then_crop(
  fields: image_ops.Fields,
  size: Size,
  resize_size: Sides,
  method: str = 'bilinear',
) -> tf.Tensor:
  """The definition itself, which nothing exact was found to beat."""
  image = image_ops.decode(fields)
  resized, offset = _central_crop(tf.shape(image)[:2], size, resize_size)
  image = tf.image.resize(tf.cast(image, tf.float32), resized, method)
  return tf.slice(image, [offset[0], offset[1], 0], [*size, 3])


def _antialiased_crop(
  fields: image_ops.Fields, size: Size, resize_size: Sides
) -> tf.Tensor:
  """Decodes and resizes only what the crop is made of, on the same grid."""
  shape = image_ops.shape_of(fields)
  resized, offset = _central_crop(shape, size, resize_size)
  scale = tf.cast(resized, tf.float32) / tf.cast(shape, tf.float32)
  # The step that the op takes, in float32. What follows are small differences
  # of large numbers.
  step = tf.cast(1 / scale, tf.float64)
  first = tf.cast(offset, tf.float64)
  reach = tf.maximum(step, 1) + _MARGIN
  begin = tf.maximum(tf.floor((first + 0.5) * step - reach), 0)
  end = tf.math.ceil((first + size - 0.5) * step + reach)
  end = tf.minimum(end, tf.cast(shape, tf.float64))
  image = image_ops.decode_window(fields, begin, end)
  translation = tf.cast(begin / step - first, tf.float32)
  return image_ops.scale_and_translate(image, size, scale, translation)


def _nearest_window(
  fields: image_ops.Fields, size: Size, resize_size: Sides
) -> tuple[tf.Tensor, tf.Tensor]:
  shape = image_ops.shape_of(fields)
  resized, offset = _central_crop(shape, size, resize_size)
  step = tf.cast(shape, tf.float32) / tf.cast(resized, tf.float32)
  begin = tf.cast(offset, tf.float32) * step
  return begin, tf.cast(offset + size, tf.float32) * step


def _random_window(
  fields: image_ops.Fields, seed: tf.Tensor, area: _Range, aspect_ratio: _Range
) -> tuple[tf.Tensor, tf.Tensor]:
  begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
    tf.concat([image_ops.shape_of(fields), [3]], 0),
    tf.zeros([1, 0, 4]),  # No boxes: anywhere in the image.
    seed=seed,
    min_object_covered=0.0,
    area_range=area,
    aspect_ratio_range=aspect_ratio,
    use_image_if_no_bounding_boxes=True,
  )
  begin = tf.cast(begin[:2], tf.float32)
  return begin, begin + tf.cast(extent[:2], tf.float32)
