"""Finds the images and the labels in a folder."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.inputs import imagenet, sources
from imagenet_val_tfrec.inputs import labels as labels_lib

TAR = 'ILSVRC2012_img_val.tar'
IMAGES = (
  TAR,
  'val_images',
  'ILSVRC2012_img_val',
  'val',
  'ILSVRC/Data/CLS-LOC/val',
)
INSTRUCTIONS = f"""\
Put the validation images of ImageNet-2012 in manual_dir, as one of:
  {TAR}, read in place (from https://image-net.org/download-images)
  a folder of images: {', '.join(IMAGES[1:])}
and, if you like, a label file: val.txt or LOC_val_solution.csv. Without one,
the true labels are used, which ship with tensorflow-datasets. Then:
  imagenet_val_tfrec build --manual_dir=DIR
"""
LABELS = ('val.txt', 'LOC_val_solution.csv')


def find_images(folder: str) -> sources.ImageSource:
  """Finds the first of `IMAGES` in a folder, else takes the images in it.

  If there are none, FileNotFoundError says what was looked for, what is there,
  and what to do.
  """
  for name in IMAGES:
    path = os.path.join(folder, name)
    if storage.exists(path):
      return sources.open_source(path)
  names = storage.names_in(folder) if storage.is_folder(folder) else None
  if names and any(imagenet.is_official(name) for name in names):
    return sources.open_source(folder)
  if names is None:
    inside = 'There is no such folder.'
  elif names:
    inside = f'Found there: {errors.some(names, 8)}.'
  else:
    inside = 'The folder is empty.'
  raise FileNotFoundError(
    f'No ImageNet validation images in {folder}\n'
    f'Looked for: {", ".join(IMAGES)}, {imagenet.official_name(1)} …\n'
    f'{inside}\n'
    f'Get {TAR} (6.7 GB) from https://image-net.org/download-images, then: '
    'imagenet_val_tfrec build --manual_dir=FOLDER_OF_THE_TAR\n'
    f'For other images, name them: {errors.CONFIG}'
  )


def find_label_file(folder: str) -> str | None:
  """Returns the path of the first of `LABELS` in a folder; None if none is."""
  paths = (os.path.join(folder, name) for name in LABELS)
  return next(filter(storage.exists, paths), None)


def read_labels(
  path: str, class_names: Sequence[str] | None = None
) -> labels_lib.Labels:
  """As `labels.read_labels`; words for official images are WordNet ids."""
  state = storage.identity_of(path)
  labels = labels_lib.read_labels(path, class_names)
  if labels.class_names and imagenet.is_official(labels.names[0]):
    labels = labels_lib.read_labels(path, class_names or imagenet.wnids())
  return dataclasses.replace(labels, file_state=state)
