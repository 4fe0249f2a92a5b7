"""Decodes images, to find what is damaged behind a good header.

The decoder is libjpeg-turbo, as in TensorFlow, but strict: what libjpeg would
only warn of, and fill with gray, is an error.
"""

from __future__ import annotations

from imagenet_val_tfrec import jpeg

_COEFFICIENT, _PIXEL = 2, 2.5  # Bytes.
# SOS, and the frames of progressive images; none stands in coded data.
_SCANS = ((b'\xff\xda', 1), (b'\xff\xc2', 0), (b'\xff\xca', 0))


def check_decodes(
  image: bytes, shape: jpeg.JpegShape, max_pixels: int = jpeg.MAX_PIXELS
) -> None:
  """Decodes an image, to see that it can be done without a warning.

  Args:
    image: The JPEG file's bytes.
    shape: Of the image, as `jpeg.read_shape` gives it.
    max_pixels: Of the images that are decoded. One with several scans, as
      progressive ones have, is held whole as coefficients, and may take
      memory as that many pixels do.

  Raises:
    jpeg.JpegError: if it is damaged inside, decodes to another size, or would
      take too much memory. (Of the few with colour sampled in an unusual way,
      damage that libjpeg only warns of passes, as TensorFlow lets it.)
  """
  needed = _COEFFICIENT * shape.height * shape.width * shape.chans
  if needed > _PIXEL * max_pixels and _has_several_scans(image):
    raise jpeg.JpegError(
      f'a JPEG of several scans and {shape.height}×{shape.width} pixels, which '
      f'takes {needed / 1e6:,.0f} MB to decode, more than the limit of '
      f'{_PIXEL * max_pixels / 1e6:,.0f} (max_pixels raises it)'
    )
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


def _has_several_scans(image: bytes) -> bool:
  """Whether it has, or a thumbnail in it seems to be one more."""
  return any(image.count(marker) > most for marker, most in _SCANS)


def _check_by_tensorflow(image: bytes) -> None:
  import tensorflow as tf

  try:
    tf.io.decode_jpeg(image, ratio=8)
  except tf.errors.InvalidArgumentError as e:
    raise jpeg.JpegError('a JPEG that TensorFlow does not decode') from e
