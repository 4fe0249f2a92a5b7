"""Holds a record against itself: what it says against what its image is."""

from __future__ import annotations

import sys

from imagenet_val_tfrec import jpeg, records


def check_shape(record: records.Record) -> jpeg.JpegShape:
  """Checks that the stored shape is the one in the image's header.

  Args:
    record: Any record.

  Returns:
    The shape.

  Raises:
    jpeg.JpegError: if the image is no usable JPEG.
    records.RecordError: if height, width or channels are not as stored.
  """
  # How large an image may be was for those to say who wrote the record.
  shape = jpeg.read_shape(record.image, max_pixels=sys.maxsize)
  stored = jpeg.JpegShape(record.height, record.width, record.chans)
  if stored != shape:
    raise records.RecordError(
      f'stored height, width and chans are {_words(stored)}, but those of the '
      f'image are {_words(shape)}'
    )
  return shape


def check_size(record: records.Record, height: int, width: int) -> None:
  """Checks that the stored size is the one that an image of any kind has.

  Raises:
    records.RecordError: if it is not.
  """
  if (record.height, record.width) != (height, width):
    raise records.RecordError(
      f'stored height and width are {record.height} and {record.width}, but '
      f'those of the image are {height} and {width}'
    )


def _words(shape: jpeg.JpegShape) -> str:
  return f'{shape.height}, {shape.width} and {shape.chans}'
