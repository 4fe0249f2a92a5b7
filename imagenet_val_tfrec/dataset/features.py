"""The features of an image and its file, by the formats that it may have."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from imagenet_val_tfrec.records import metadata

# Where the config asks for it.
OF_NAME = {
  'file_name': tfds.features.Text(doc='Name of the file, as in the labels.')
}
_THREE_AXES = {'jpeg', 'png'}  # As TFDS decodes them.


def of_label(
  num_classes: int | None, names: Sequence[str] | None, several: bool
) -> dict[str, Any]:
  """Returns the feature of the label; or of the list of labels of an image."""
  doc = f'Class{"es" * several} of the image, as in the label file.'
  number = None if names else num_classes
  one = functools.partial(
    tfds.features.ClassLabel, num_classes=number, names=names or None
  )
  if several:
    return {'labels': tfds.features.Sequence(one(), doc=doc)}
  return {'label': one(doc=doc)}


def class_label(features: Any) -> tfds.features.ClassLabel:
  """Returns the feature of one label, whose classes are those of all."""
  several = metadata.has_lists(features)
  return features['labels'].feature if several else features['label']


class Image(tfds.features.Image):
  """An image that decodes to uint8 [h, w, 3], also a GIF or WebP.

  TFDS's own gives these as [1, h, w, 3], and says that it were [h, w, 3]. The
  name of this class stands in `features.json`, so it must not change.
  """

  def decode_example(self, example: Any) -> Any:
    """Decodes one image."""
    import tensorflow as tf

    image = tf.io.decode_image(example, self.shape[-1], expand_animations=False)
    image.set_shape(self.shape)
    return image


def of_image(formats: Sequence[str]) -> dict[str, Any]:
  """Returns the features of an image; TFDS's own where they can be."""
  is_jpeg = set(formats) == {'jpeg'}
  owner = 'JPEG' if is_jpeg else "file's"
  alpha = '' if is_jpeg else '; 2 and 4 also gray and colour with alpha'
  feature = tfds.features.Image if _THREE_AXES.issuperset(formats) else Image
  integer = functools.partial(tfds.features.Scalar, dtype=np.int64)
  return {
    'height': integer(doc=f'Height in pixels, from the {owner} header.'),
    'width': integer(doc=f'Width in pixels, from the {owner} header.'),
    'chans': integer(doc=f'Channels stored: 1 gray, 3 colour, 4 CMYK{alpha}.'),
    'image': feature(
      shape=(None, None, 3),
      encoding_format='jpeg' if is_jpeg else None,
      doc=f"The {'JPEG ' * is_jpeg}file's own bytes; decodes to uint8 "
      '[h, w, 3].',
    ),
  }
