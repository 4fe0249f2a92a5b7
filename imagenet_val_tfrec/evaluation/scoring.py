"""Scores a model on a dataset, image by image."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from imagenet_val_tfrec.core import errors, progress
from imagenet_val_tfrec.evaluation import models, naming
from imagenet_val_tfrec.evaluation.measures import Evaluation
from imagenet_val_tfrec.inputs import imagenet
from imagenet_val_tfrec.pipeline import datasets, read
from imagenet_val_tfrec.pipeline.recipes import Recipe

_BEST = 5
_PACKAGES = (
  *('imagenet_val_tfrec', 'numpy', 'tensorflow', 'keras', 'jax', 'torch'),
  *('torchvision', 'timm'),
)


def evaluate(
  predict: Any,
  source: read.Source,
  recipe: Recipe,
  *,
  batch_size: int = 64,
  split: str = read.WHOLE_SPLIT,
  real_labels: str | os.PathLike[str] | None = None,
  names: str | os.PathLike[str] | Sequence[str] | None = None,
) -> Evaluation:
  """Scores a model on every image once, in the order of the label file.

  If the names of a dataset's classes are some of ImageNet's 1,000 WordNet ids,
  as of ImageNet-A, -R or -Sketch, and the model has all 1,000, then only the
  scores of those count. Of other datasets, ImageNetV2 among them, label 3 is
  the model's class 3.

  Args:
    predict: A Keras model, a `torch.nn.Module`, or a function: from images,
      float32 [batch_size, height, width, 3] (or as the recipe says), to scores,
      [batch_size, num_classes], probabilities or not.
    source: See `pipeline.evaluation_dataset`.
    recipe: What the model expects: see `imagenet_val_tfrec.recipes`.
    batch_size: Images in a batch. The last is padded to it.
    split: See `pipeline.evaluation_dataset`.
    real_labels: A JSON file of ReaL labels: of each of the 50,000 images, by
      number, a list of classes. By default timm's, if that is installed and the
      names of the images are known.
    names: Names of the images in the whole split, in order, or a label file
      with them. Known if the dataset has them (`with_names`), or was built with
      ImageNet's true labels.

  Returns:
    What was measured; 70 bytes for each image.

  Raises:
    ValueError: if an option or the source cannot be used, the classes or labels
      do not fit, or `predict` gives anything but a score of each class.
    FileNotFoundError: if there is nothing at a path.

  Example:
    >>> def always_daisy(images):
    ...   return np.eye(1000)[[985] * len(images)]
    >>> recipe = recipes.keras('MobileNetV2')
    >>> evaluation.evaluate(always_daisy, 'data', recipe).top1
    0.125
  """
  files = read.find_files(source, split)
  classes = _find_classes(files.info, recipe)
  total, places = _find_places(files)
  known = naming.find_names(names, files, total, places)
  real = naming.find_real(real_labels, known.names, classes.names)
  batches = datasets.evaluation_dataset(
    source, batch_size, split=split, recipe=recipe, last_batch='pad'
  )
  rows: list[tuple[np.ndarray, ...]] = []
  done = 0
  start = time.monotonic()
  with (
    models.scorer(predict, recipe.num_classes) as scorer,
    progress.progress_bar(
      tfds.core.utils.tqdm, images=files.total, description='Evaluating'
    ) as report,
  ):
    for batch in batches:
      images, labels, weights = (part.numpy() for part in batch)
      scores = scorer(images)[weights > 0]
      labels = labels[weights > 0] - recipe.label_offset
      _check_labels(labels, done, known, len(classes.names))
      rows.append((labels, *_rank(scores, labels, classes)))
      done += len(labels)
      report(len(labels), 0)
  seconds = time.monotonic() - start
  columns = [np.concatenate(column) for column in zip(*rows, strict=True)]
  labels, best, scores, confidences, label_confidences = columns
  real_top1, num_real = naming.real_accuracy(real, best[:, 0])
  info = files.info
  metadata = (info and info.metadata) or {}
  return Evaluation(
    model=models.name_of(predict),
    recipe=recipe,
    source=os.path.dirname(files.paths[0]),
    split=split,
    dataset=info.full_name if info else '',
    fingerprint=metadata.get('fingerprint', ''),
    versions=_versions(),
    seconds=seconds,
    num_total=total or done,
    class_names=classes.names,
    indices=np.arange(total or done)[places],
    names=known.names,
    labels=labels,
    classes=best,
    scores=scores,
    confidences=confidences,
    label_confidences=label_confidences,
    real_top1=real_top1,
    num_real=num_real,
  )


class _Classes(NamedTuple):
  """The classes of a dataset, and where a model's scores have them."""

  names: Sequence[str]
  columns: Any  # Those of the scores that count: NumPy's index.
  first: int  # The class that the first of them stands for.


def _find_classes(info: Any, recipe: Recipe) -> _Classes:
  """Returns which classes there are; InputError if they do not fit."""
  number = recipe.num_classes - recipe.label_offset
  everything, background = slice(None), -recipe.label_offset
  numbers = tuple(str(i) for i in range(number))
  wnids = imagenet.wnids() if number == imagenet.NUM_CLASSES else ()
  unnamed = _Classes(wnids or numbers, everything, background)
  if info is None:
    return unnamed
  label = info.features['label']
  names = tuple(label.names if label.num_classes <= number else ())
  if names and names == numbers[: len(names)]:
    return unnamed
  if names and names != wnids and set(names) <= set(wnids):
    places = {wnid: i for i, wnid in enumerate(wnids, recipe.label_offset)}
    return _Classes(names, [places[name] for name in names], 0)
  if len(names) == number:
    return _Classes(names, everything, background)
  raise errors.InputError(
    f'{info.full_name} in {os.fspath(info.data_dir)!r} has '
    f'{label.num_classes:,} classes, the recipe {number:,}; expected the '
    "classes of the model, or names that are WordNet ids and all ImageNet's "
    'in the model'
  )


def _find_places(files: read.RecordFiles) -> tuple[int | None, Any]:
  """Returns how many examples the whole split has, and which these are.

  The number is None where it is not known; the places are NumPy's index.
  """
  if files.info is None:
    return files.total, slice(None)
  starts, total = {}, 0
  for split in files.info.splits.values():
    paths = [os.fspath(path) for path in split.filepaths]
    if set(paths) & set(files.paths):
      for path, length in zip(paths, split.shard_lengths, strict=True):
        starts[path], total = total, total + length
  parts = zip(files.paths, files.skips, files.takes, strict=True)
  return total, np.concatenate(
    [starts[path] + skip + np.arange(take) for path, skip, take in parts]
  )


def _check_labels(
  labels: np.ndarray, done: int, known: naming.Names, num_classes: int
) -> None:
  """Raises InputError if a batch of labels is not what it should be."""
  if labels.max() >= num_classes:
    raise errors.InputError(
      f'example {done + int(labels.argmax()):,} has label {labels.max():,}, '
      f'but the model has {num_classes:,} classes'
    )
  if known.labels is None:
    return
  expected = known.labels[done : done + len(labels)]
  if not np.array_equal(expected, labels):
    raise errors.InputError(
      f'{known.path}: its labels are not those of the dataset, so the names '
      'would be of other images; expected the label file it was built with'
    )


def _rank(
  scores: np.ndarray, labels: np.ndarray, classes: _Classes
) -> tuple[np.ndarray, ...]:
  """Returns the best classes, their scores, and confidences; and the labels'.

  Of equal scores, that of the smaller class is the better one.
  """
  confidences = scores
  sums = scores.sum(1, keepdims=True)
  # Half precision adds up to one within a few thousandths.
  if scores.min() < 0 or not np.allclose(sums, 1, atol=0.01):
    confidences = np.exp(scores - scores.max(1, keepdims=True))
  scores, confidences = (
    scores[:, classes.columns],
    confidences[:, classes.columns],
  )
  confidences = confidences / confidences.sum(1, keepdims=True)
  best = np.argsort(-scores, 1, kind='stable')[:, :_BEST]
  of_labels = confidences[np.arange(len(labels)), labels - classes.first]
  return (
    best.astype(np.int32) + np.int32(classes.first),
    np.take_along_axis(scores, best, 1),
    np.take_along_axis(confidences, best, 1),
    of_labels,
  )


def _versions() -> dict[str, str]:
  """Returns the versions of Python and of what is imported."""
  found = {'python': platform.python_version()}
  for name in _PACKAGES:
    if version := getattr(sys.modules.get(name), '__version__', None):
      found[name] = version
  if 'keras' in found:
    found['keras'] += f' on {sys.modules["keras"].backend.backend()}'
  return found
