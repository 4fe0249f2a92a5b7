"""Names of images, and what is known by their names: ReaL labels."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from imagenet_val_tfrec.core import errors, small_files
from imagenet_val_tfrec.inputs import discovery, imagenet
from imagenet_val_tfrec.pipeline import read

_TIMMS = ('data', '_info', 'imagenet_real_labels.json')


class Names(NamedTuple):
  """Of each row, and the labels that go with them, where that is known."""

  names: Sequence[str] | None = None
  labels: np.ndarray | None = None
  path: str = ''  # Of the file that says so.


def find_names(
  names: str | os.PathLike[str] | Sequence[str] | None,
  files: read.RecordFiles,
  total: int | None,
  places: Any,
) -> Names:
  """Returns the names of the images at these places of a split.

  Args:
    names: As in `evaluate`.
    files: What is evaluated.
    total: How many images the whole split has; None if unknown.
    places: NumPy's index.

  Raises:
    errors.InputError: if a name is missing, or the label file cannot be used.
    FileNotFoundError: if there is no such file.
  """
  path, labels, info = 'names', None, files.info
  if names is None and info and 'file_name' in info.features:
    return Names(_stored(files), path=files.paths[0])
  if names is None:
    true, metadata = imagenet.true_label_file(), info and info.metadata
    if (metadata or {}).get('label_file_sha256') != true.sha256:
      return Names()
    path, names, labels = true.path, true.names, true.labels
  elif isinstance(names, str | os.PathLike):
    path = os.fspath(names)
    listed = discovery.read_labels(path)
    names, labels = listed.names, None if listed.several else listed.labels
  if total is not None and len(names) < total:
    raise errors.InputError(
      f'{path}: {len(names):,} names, expected one for each of {total:,} images'
    )
  of_rows = np.asarray(names[:total], object)[places].tolist()
  if labels is not None:
    labels = np.asarray(labels)[:total][places]
  return Names(of_rows, labels, path)


def _stored(files: read.RecordFiles) -> list[str]:
  """Returns the names that stand in the records."""
  fields = {'file_name': tf.io.FixedLenFeature([], tf.string)}
  batches = read.read_in_order(files).batch(1000)
  parsed = batches.map(lambda batch: tf.io.parse_example(batch, fields))
  return [
    name.decode(errors='surrogateescape')
    for batch in parsed.as_numpy_iterator()
    for name in batch['file_name']
  ]


def find_real(
  path: str | os.PathLike[str] | None,
  names: Sequence[str] | None,
  class_names: Sequence[str],
) -> list[list[int]] | None:
  """Returns the ReaL labels of each row, or None if there are none.

  Without a path, those that timm ships are taken, where they fit. Raises
  InputError if the file at `path` cannot be used, or does not fit.
  """
  numbers = [imagenet.official_number(name) for name in names or ()]
  fits = numbers and all(numbers) and class_names == imagenet.wnids()
  if path is None:
    timm = importlib.util.find_spec('timm')
    folders = timm and timm.submodule_search_locations
    path = os.path.join(*(folders or ['']), *_TIMMS)
    if not fits or not os.path.exists(path):
      return None
  if not fits:
    raise errors.InputError(
      "ReaL labels are those of ImageNet's validation images, and not all of "
      'these are known by such a name: say names, the label file of the images'
    )
  path = os.fspath(path)
  real: Any = small_files.read_json(path, [[int]])
  if len(real) != imagenet.NUM_IMAGES:
    raise errors.FileError(
      path, f'labels of {len(real):,} images, expected {imagenet.NUM_IMAGES:,}'
    )
  return [real[number - 1] for number in numbers]


def real_accuracy(
  real: Sequence[Sequence[int]] | None, best: np.ndarray
) -> tuple[float | None, int]:
  """Returns the part of images, 0..1, whose best class is a ReaL label.

  And of how many: those without such labels are left out, as their authors do.
  """
  right = [
    label in labels
    for label, labels in zip(
      best.tolist(), real or [()] * len(best), strict=True
    )
    if labels
  ]
  return (float(np.mean(right)) if right else None), len(right)
