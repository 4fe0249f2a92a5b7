"""Decodes images, to find what is damaged behind a good header.

The decoder is libjpeg-turbo, as in TensorFlow, but strict: what libjpeg would
only warn of, and fill with gray, is an error.
"""

from __future__ import annotations

from imagenet_val_tfrec import jpeg


def check_decodes(image: bytes, shape: jpeg.JpegShape) -> None:
  """Decodes an image, to see that it can be done without a warning.

  Args:
    image: The JPEG file's bytes.
    shape: Of the image, as `jpeg.read_shape` gives it.

  Raises:
    jpeg.JpegError: if it is damaged inside, or decodes to another size.
  """
  import simplejpeg

  try:
    height, width, *_ = simplejpeg.decode_jpeg_header(image)
  except (ValueError, KeyError):
    # It knows only the usual ways to sample colour (4:4:4, 4:2:0 and so on).
    # TensorFlow knows all, and others are rare enough to import it for them.
    _check_by_tensorflow(image)
    return
  if (height, width) != (shape.height, shape.width):
    raise jpeg.JpegError(
      f'a JPEG whose header says {shape.height}×{shape.width} pixels, but it '
      f'decodes to {height}×{width}'
    )
  try:
    # The picture is not needed, so it is made as small and gray as can be. All
    # coded data is read even so, which is where damage shows.
    simplejpeg.decode_jpeg(image, 'GRAY', min_height=1, min_width=1)
  except ValueError as e:
    raise jpeg.JpegError(f'a JPEG that does not decode cleanly: {e}') from e


def _check_by_tensorflow(image: bytes) -> None:
  import tensorflow as tf

  try:
    tf.io.decode_jpeg(image, ratio=8)
  except tf.errors.InvalidArgumentError as e:
    raise jpeg.JpegError('a JPEG that TensorFlow does not decode') from e
