"""The pixels of Pillow and OpenCV, by operations of TensorFlow.

Both resize a row, then a column, by sums of few weighted neighbours. Which, and
with what weights, is calculated here as they do it. The sums are those of a
sparse matrix with the image: the only such operation of TensorFlow that takes
weights and whole rows of pixels at a time.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import tensorflow as tf
from tensorflow.python.ops.linalg.sparse import sparse_csr_matrix_ops as csr

from imagenet_val_tfrec.pipeline import image_ops
from imagenet_val_tfrec.pipeline.options import Sides, Size

# Pillow's weights are integers, over this; OpenCV's, too: bilinear ones, and
# where it does not leave the work to Intel's IPP, which takes no narrow images.
_PILLOW_ONE = 2.0**22
_OPENCV_ONE = 2.0**11
_LEAST_OF_IPP = 4


class Taps(NamedTuple):
  """What each pixel of a result is made of, along one axis.

  Attributes:
    positions: Of the source's pixels, int64 [size, taps], in order; some twice.
    weights: Float64 [size, taps], 0 where a pixel has fewer.
  """

  positions: tf.Tensor
  weights: tf.Tensor


def crop(
  fields: image_ops.Fields,
  size: Size,
  resize_size: Sides,
  convention: str,
  cubic: bool,
  planar: bool,
) -> tf.Tensor:
  """Resizes and crops as torchvision, with the pixels of Pillow or OpenCV.

  Only what the crop is made of is decoded and resized.

  Args:
    fields: Of the record, with a JPEG.
    size: Of the crop.
    resize_size: What the short side, or the pair of both, becomes.
    convention: 'pillow' or 'opencv'.
    cubic: Whether bicubic, else bilinear.
    planar: Whether channels are first.

  Returns:
    float32 [*size, 3] or [3, *size], whole grey levels, 0..255.
  """
  shape = tf.cast(image_ops.shape_of(fields), tf.float64)
  if isinstance(resize_size, int):
    resized = tf.floor(resize_size * shape / tf.reduce_min(shape))
  else:
    resized = tf.constant(resize_size, tf.float64)
  first = tf.round((resized - size) / 2)  # Of halves the even one, as Python.
  if convention == 'pillow':
    find = functools.partial(_pillow_taps, cubic)
  else:
    fixed = tf.reduce_min(shape) < _LEAST_OF_IPP if cubic else True
    find = functools.partial(_opencv_taps, cubic, fixed)
  axes = [find(shape[i], resized[i], first[i], size[i]) for i in (0, 1)]
  begin = tf.stack([taps.positions[0, 0] for taps in axes])
  end = tf.stack([taps.positions[-1, -1] + 1 for taps in axes])
  image = image_ops.decode_exactly(fields, begin, end, convention)
  rows, columns = (
    Taps(taps.positions - begin[i], taps.weights) for i, taps in enumerate(axes)
  )
  resize = _pillow if convention == 'pillow' else _opencv
  image = resize(image, rows, columns, cubic, planar)
  return tf.reshape(image, [3, *size] if planar else [*size, 3])


def _pillow_taps(
  cubic: bool, side: tf.Tensor, resized: tf.Tensor, first: tf.Tensor, size: int
) -> Taps:
  """Returns those of Pillow's `Image.resize`, for a part of the result.

  Args:
    cubic: Whether BICUBIC, else BILINEAR.
    side: Of the source, float64 [].
    resized: Of the whole result, float64 [].
    first: Pixel of the result, float64 [].
    size: How many.
  """
  scale = side / resized
  wide = tf.maximum(scale, 1)
  reach = (2 if cubic else 1) * wide
  centre = (tf.range(size, dtype=tf.float64) + first + 0.5) * scale
  begin = tf.maximum(tf.floor(centre - reach + 0.5), 0)
  end = tf.minimum(tf.floor(centre + reach + 0.5), side)
  taps = tf.range(tf.reduce_max(end - begin))
  at = begin[:, None] + taps
  distance = tf.abs((at - centre[:, None] + 0.5) * (1 / wide))
  weights = _keys(distance, -0.5) if cubic else tf.maximum(1 - distance, 0)
  weights = tf.where(at < end[:, None], weights, 0)
  weights /= tf.reduce_sum(weights, 1, keepdims=True)
  error = _away(weights * _PILLOW_ONE) / _PILLOW_ONE - weights
  if not cubic:
    # Sums of simple fractions are often just between two grey levels: Pillow's
    # rounding of weights decides. To show in float32, it is exaggerated.
    error *= 16
  weights += error
  return Taps(tf.cast(tf.minimum(at, side - 1), tf.int64), weights)


def _away(x: tf.Tensor) -> tf.Tensor:
  """Rounds halves away from zero, as C does by 0.5 and truncation."""
  return tf.sign(x) * tf.floor(tf.abs(x) + 0.5)


def _keys(x: tf.Tensor, a: float) -> tf.Tensor:
  """Keys's cubic kernel, of distances."""
  near = ((a + 2) * x - (a + 3)) * x * x + 1
  far = (((x - 5) * x + 8) * x - 4) * a
  return tf.where(x < 1, near, tf.where(x < 2, far, 0))


def _opencv_taps(
  cubic: bool,
  fixed: bool | tf.Tensor,
  side: tf.Tensor,
  resized: tf.Tensor,
  first: tf.Tensor,
  size: int,
) -> Taps:
  """Returns those of `cv2.resize`; `fixed`: whether in fixed point."""
  out = tf.range(size, dtype=tf.float64) + first
  centre = tf.cast((out + 0.5) * (1 / (resized / side)) - 0.5, tf.float32)
  taps = tf.range(-1.0, 3.0) if cubic else tf.range(2.0)
  at = tf.floor(centre)[:, None] + taps
  distance = tf.abs(centre[:, None] - at)
  weights = _keys(distance, -0.75) if cubic else 1 - distance
  rounded = tf.round(weights * _OPENCV_ONE) / _OPENCV_ONE
  weights = tf.where(fixed, rounded, weights)
  at = tf.clip_by_value(tf.cast(at, tf.int64), 0, tf.cast(side, tf.int64) - 1)
  return Taps(at, tf.cast(weights, tf.float64))


def _sums(image: tf.Tensor, taps: Taps) -> tf.Tensor:
  """Weighted sums of rows: float32 [rows, across] -> [size, across]."""
  size, number = tf.unstack(tf.shape(taps.positions, tf.int64))
  result = tf.repeat(tf.range(size), number)
  matrix = csr.sparse_tensor_to_csr_sparse_matrix(
    tf.stack([result, tf.reshape(taps.positions, [-1])], 1),
    tf.cast(tf.reshape(taps.weights, [-1]), tf.float32),
    tf.stack([size, tf.shape(image, tf.int64)[0]]),
  )
  return csr.sparse_matrix_mat_mul(matrix, image)


def _across(image: tf.Tensor, taps: Taps) -> tf.Tensor:
  """Sums within rows: uint8 [rows, columns, 3] -> float32 [size, 3 * rows]."""
  rows, columns, _ = tf.unstack(tf.shape(image))
  pixels = tf.reshape(tf.cast(image, tf.float32), [rows, columns * 3])
  # A matrix is transposed fast; axes before the last of three, slowly.
  return _sums(tf.reshape(tf.transpose(pixels), [columns, 3 * rows]), taps)


def _upright(sums: tf.Tensor, planar: bool) -> tf.Tensor:
  """Turns [size, 3 * rows] into [rows, size * 3] or planar [3 * rows, size]."""
  if planar:
    return tf.transpose(sums)
  size = sums.shape[0]
  return tf.transpose(tf.reshape(sums, [size * 3, -1]))


def _down(image: tf.Tensor, taps: Taps, planar: bool) -> tf.Tensor:
  """Sums within columns, of what `_upright` returns."""
  return _sums(image, _of_planes(image, taps) if planar else taps)


def _of_planes(image: tf.Tensor, taps: Taps) -> Taps:
  """Repeats taps for each of three planes that lie below one another."""
  rows = tf.shape(image, tf.int64)[0] // 3
  positions = [taps.positions + plane * rows for plane in range(3)]
  return Taps(tf.concat(positions, 0), tf.tile(taps.weights, [3, 1]))


def _pillow(
  image: tf.Tensor, rows: Taps, columns: Taps, cubic: bool, planar: bool
) -> tf.Tensor:
  """Rounds to uint8 after each axis; bilinear sums are within it anyway."""

  def to_uint8(sums: tf.Tensor) -> tf.Tensor:
    rounded = tf.floor(sums + 0.5)
    return tf.clip_by_value(rounded, 0, 255) if cubic else rounded

  image = _upright(to_uint8(_across(image, columns)), planar)
  return to_uint8(_down(image, rows, planar))


def _opencv(
  image: tf.Tensor, rows: Taps, columns: Taps, cubic: bool, planar: bool
) -> tf.Tensor:
  """Rounds once; bilinear in fixed point, where bits are cut off on the way."""
  sums = _across(image, columns)
  if cubic:
    sums = _down(_upright(sums, planar), rows, planar)
    return tf.clip_by_value(tf.round(sums), 0, 255)
  image = _upright(tf.floor(sums * (_OPENCV_ONE / 16)), planar)
  positions, weights = _of_planes(image, rows) if planar else rows
  weights = tf.cast(weights * (_OPENCV_ONE / 2**16), tf.float32)
  above, below = (
    tf.floor(tf.gather(image, positions[:, i]) * weights[:, i, None])
    for i in (0, 1)
  )
  return tf.floor((above + below + 2) / 4)
