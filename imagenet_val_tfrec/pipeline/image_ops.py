"""What TensorFlow does to one record: parse, decode, resize.

JPEG decoding is three quarters of what a pipeline costs, so the rest is about
decoding less, and touching pixels rarely. A window of a JPEG can be decoded
without the whole; its outermost columns then differ, one pixel deep, as chroma
is interpolated from fewer neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import simplejpeg
import tensorflow as tf

from imagenet_val_tfrec.pipeline.options import Size

Fields = Mapping[str, tf.Tensor]

# Pixels around a window, for its outermost ones are not those of the whole.
_MARGIN = 2

_FIELDS = {
  'label': tf.io.FixedLenFeature([], tf.int64, -1),  # If there is none.
  'height': tf.io.FixedLenFeature([], tf.int64),
  'width': tf.io.FixedLenFeature([], tf.int64),
  'image': tf.io.FixedLenFeature([], tf.string),  # Encoded.
}
# With no operation more, whatever it is: each costs.
_WRONG_LABEL = (
  'the label is out of range, or missing (records of several `labels` are for '
  'tfds.load alone)'
)


def parse_record(record: tf.Tensor) -> Fields:
  """Reads a serialised example, string []; further fields are passed over."""
  fields: Fields = tf.io.parse_single_example(record, _FIELDS)
  return fields


def label_of(fields: Fields, num_classes: int | None = None) -> tf.Tensor:
  """Returns the label, int32 []; it must be below `num_classes`, if given."""
  label = fields['label']
  most = tf.int32.max if num_classes is None else num_classes - 1
  in_range = (label >= 0) & (label <= tf.cast(most, label.dtype))
  with tf.control_dependencies([_check(in_range, _WRONG_LABEL)]):
    return tf.cast(label, tf.int32)


def _check(condition: tf.Tensor, message: str) -> tf.Operation | None:
  """The bare operation: `tf.debugging` makes a branch of it, which costs."""
  return tf.raw_ops.Assert(condition=condition, data=[message])


def decode(fields: Fields) -> tf.Tensor:
  """Decodes the whole image: uint8 [height, width, 3], whatever its colours."""
  image = tf.io.decode_image(fields['image'], 3, expand_animations=False)
  with tf.control_dependencies([_check_shape(fields, tf.shape(image))]):
    return tf.identity(image)


def _check_shape(fields: Fields, found: tf.Tensor) -> tf.Operation | None:
  stored = tf.stack([fields['height'], fields['width']])
  return _check(
    tf.reduce_all(tf.cast(found[:2], stored.dtype) == stored),
    'the image is not as high and wide as its record says',
  )


def shape_of(fields: Fields) -> tf.Tensor:
  """Returns height and width, int32 [2], as stored."""
  return tf.cast(tf.stack([fields['height'], fields['width']]), tf.int32)


def decode_window(
  fields: Fields,
  begin: tf.Tensor,
  end: tf.Tensor,
  *,
  enough: Size | None = None,
  check: bool = True,
) -> tf.Tensor:
  """Decodes a part of a JPEG without the rest; uint8 [rows, columns, 3].

  From the pixel next to `begin`, row and column, float [2], to before `end`. If
  half the window still has `enough` rows and columns, it is decoded at half
  scale; and chroma is not interpolated. Without `enough`, pixels are those of
  `decode`, but for the outermost columns. `check` compares the stored height
  and width with the header. Of other formats the whole is decoded.
  """
  encoded = fields['image']

  def jpeg_at_scale(scale: int) -> tf.Tensor:
    first = tf.cast(tf.round(begin / scale), tf.int32)
    last = tf.cast(tf.round(end / scale), tf.int32)
    window = tf.concat([first, tf.maximum(last - first, 1)], 0)
    fancy = enough is None
    return tf.io.decode_and_crop_jpeg(
      encoded, window, channels=3, ratio=scale, fancy_upscaling=fancy
    )

  def jpeg() -> tf.Tensor:
    found = tf.io.extract_jpeg_shape(encoded) if check else shape_of(fields)
    with tf.control_dependencies([_check_shape(fields, found)]):
      if enough is None:
        return jpeg_at_scale(1)
      half = tf.reduce_all(end - begin >= 2 * tf.constant(enough, begin.dtype))
      return tf.cond(half, lambda: jpeg_at_scale(2), lambda: jpeg_at_scale(1))

  def another() -> tf.Tensor:
    first = tf.cast(tf.round(begin), tf.int32)
    last = tf.maximum(tf.cast(tf.round(end), tf.int32), first + 1)
    return _cut(decode(fields), first, last)

  return tf.cond(tf.io.is_jpeg(encoded), jpeg, another)


def _cut(image: tf.Tensor, begin: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
  return image[begin[0] : end[0], begin[1] : end[1]]


def decode_exactly(
  fields: Fields, begin: tf.Tensor, end: tf.Tensor, convention: str
) -> tf.Tensor:
  """Decodes a part as Pillow or OpenCV do: uint8 [rows, columns, 3].

  Args:
    fields: Of the record.
    begin: Row and column, int64 [2].
    end: Those after the last.
    convention: 'pillow' or 'opencv', which differ in CMYK images. An
      orientation in EXIF is not applied (Pillow leaves that to the caller, but
      `cv2.imread` does it).
  """
  encoded, shape = fields['image'], tf.cast(shape_of(fields), tf.int64)

  def colour() -> tf.Tensor:
    # The outermost pixels of a window are not those of the whole.
    first = tf.maximum(begin - _MARGIN, 0)
    size = tf.minimum(end + _MARGIN, shape) - first
    image = tf.io.decode_and_crop_jpeg(
      encoded,
      tf.cast(tf.concat([first, size], 0), tf.int32),
      channels=3,
      dct_method='INTEGER_ACCURATE',
    )
    return _cut(image, begin - first, end - first)

  def cmyk() -> tf.Tensor:
    image = tf.numpy_function(_decode_cmyk, [encoded], tf.uint8)
    image = tf.ensure_shape(image, [None, None, 4])
    image = tf.cast(_cut(image, begin, end), tf.int32)
    return _rgb_of(image, convention)

  def jpeg() -> tf.Tensor:
    found = tf.io.extract_jpeg_shape(encoded)
    with tf.control_dependencies([_check_shape(fields, found)]):
      return tf.cond(found[2] == 4, cmyk, colour)

  return tf.cond(
    tf.io.is_jpeg(encoded), jpeg, lambda: _cut(decode(fields), begin, end)
  )


def _decode_cmyk(encoded: bytes) -> Any:
  """Decodes by simplejpeg, as TensorFlow gives no more than RGB."""
  return simplejpeg.decode_jpeg(encoded, 'CMYK')


def _rgb_of(cmyk: tf.Tensor, convention: str) -> tf.Tensor:
  """Converts int32 [h, w, 4] as in the file: all four inverted, as Adobe's."""
  colours, black = cmyk[:, :, :3], cmyk[:, :, 3:]
  ink = (255 - colours) * black
  if convention == 'pillow':
    ink += 128
    ink = (ink // 256 + ink) // 256
  else:
    ink //= 256
  return tf.cast(black - ink, tf.uint8)


def resize(image: tf.Tensor, size: Size, antialias: bool) -> tf.Tensor:
  """`tf.image.resize` of a whole image, uint8 [h, w, 3], bit for bit."""
  if not antialias:
    # Its kernel alone, which is quicker with float32: 7 % of mode 'fast'.
    resized = tf.raw_ops.ResizeBilinear(
      images=tf.cast(image, tf.float32)[tf.newaxis],
      size=size,
      half_pixel_centers=True,
    )
    return resized[0]
  shape = tf.cast(tf.shape(image)[:2], tf.float32)
  return scale_and_translate(image, size, size / shape, tf.zeros([2]))


def scale_and_translate(
  image: tf.Tensor, size: Size, scale: tf.Tensor, translation: tf.Tensor
) -> tf.Tensor:
  """Resizes with antialiasing: output y is at (y + 0.5 - translation) / scale.

  Takes uint8 or float32 [h, w, 3], and scale and translation, float32 [2], the
  latter in pixels of the result, float32 [*size, 3]. Gives what the op of that
  name gives with 'triangle', bit for bit, in less than half of its time. The op
  adds up columns in steps of three numbers, the channels. Here, for one axis
  and then the other, the image is a single row of very wide pixels: long sums,
  and nothing to share among threads (whose waking costs more than it gains).
  """

  def along_first(image: tf.Tensor, axis: int) -> tf.Tensor:
    length, across, _ = tf.unstack(tf.shape(image))
    resized = tf.raw_ops.ScaleAndTranslate(
      images=tf.reshape(image, [1, 1, length, across * 3]),
      size=[1, size[axis]],
      scale=tf.stack([1.0, scale[axis]]),
      translation=tf.stack([0.0, translation[axis]]),
      kernel_type='triangle',
      antialias=True,
    )
    return tf.reshape(resized, [size[axis], across, 3])

  columns = tf.transpose(along_first(image, 0), [1, 0, 2])
  return tf.transpose(along_first(columns, 1), [1, 0, 2])
