"""What was measured: accuracies, and one row for each image."""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np

from imagenet_val_tfrec.core import small_files
from imagenet_val_tfrec.inputs import imagenet
from imagenet_val_tfrec.pipeline.recipes import Recipe

Interval = tuple[float, float]

_Z = 1.959964  # 95 % of a normal distribution is within so many deviations.


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
  """How a model did on a dataset: n rows, one for each image, in order.

  Classes are numbered as the labels of the dataset; -1 is a model's background
  class, which no image has. k is 5, or the number of classes if that is less.

  Attributes:
    model: Its name.
    recipe: How the images were prepared.
    source: Where the records are: a version folder, or one of raw files.
    split: Of the dataset, such as `validation[:10%]`.
    dataset: Name, config and version; '' for raw files.
    fingerprint: Of what the dataset was built from; '' if unknown.
    versions: Of Python and the packages that took part, by their names.
    seconds: How long it took, without loading the model.
    num_total: Images in the whole split.
    class_names: Of each class, WordNet ids for ImageNet's.
    indices: Place in the whole split, from 0; int64 [n].
    names: File names of the images, n of them; None if unknown.
    labels: The true classes, int32 [n].
    classes: The k best classes, the best first, int32 [n, k].
    scores: Their scores as the model gave them, float32 [n, k].
    confidences: The same as probabilities, 0..1: softmax of all scores, if
      these were none; float32 [n, k].
    label_confidences: The probability of the true class; float32 [n].
    real_top1: ReaL accuracy, 0..1 (Beyer et al. 2020, arXiv:2006.07159): the
      best class is one of those that people saw in the image. None if unknown.
    num_real: Images that this was measured on: those with such labels.
  """

  model: str
  recipe: Recipe
  source: str
  split: str
  dataset: str
  fingerprint: str
  versions: Mapping[str, str]
  seconds: float
  num_total: int
  class_names: Sequence[str]
  indices: np.ndarray
  names: Sequence[str] | None
  labels: np.ndarray
  classes: np.ndarray
  scores: np.ndarray
  confidences: np.ndarray
  label_confidences: np.ndarray
  real_top1: float | None
  num_real: int

  @property
  def num_examples(self) -> int:
    """How many images were scored."""
    return len(self.labels)

  @property
  def top1(self) -> float:
    """The part of images whose best class is the label, 0..1."""
    return float(self.correct.mean())

  @property
  def top5(self) -> float:
    """The part of images with the label among the k best classes, 0..1."""
    return float((self.classes == self.labels[:, None]).any(1).mean())

  @property
  def correct(self) -> np.ndarray:
    """Whether the best class is the label; bool [n]."""
    return np.asarray(self.classes[:, 0] == self.labels)

  @property
  def top1_interval(self) -> Interval:
    """Where the true value is with 95 % confidence, by Wilson's score."""
    return wilson(self.top1, self.num_examples)

  @property
  def top5_interval(self) -> Interval:
    """As `top1_interval`."""
    return wilson(self.top5, self.num_examples)

  @property
  def top1_difference(self) -> float | None:
    """Measured minus published, in standard errors of the published value.

    That is how far off so many random images may be: beyond 2 or 3 it is no
    chance. None where nothing is published.
    """
    return _difference(self.top1, self.recipe.published_top1, self.num_examples)

  @property
  def top5_difference(self) -> float | None:
    """As `top1_difference`."""
    return _difference(self.top5, self.recipe.published_top5, self.num_examples)

  @property
  def class_counts(self) -> np.ndarray:
    """Images of each class; int64 [classes]."""
    return np.bincount(self.labels, minlength=len(self.class_names))

  @property
  def class_accuracies(self) -> np.ndarray:
    """Top-1 accuracy by class, NaN without images; float64 [classes]."""
    counts = self.class_counts
    right = np.bincount(self.labels[self.correct], minlength=len(counts))
    with np.errstate(invalid='ignore'):
      return np.asarray(right / counts)

  def confusions(self, most: int = 20) -> list[tuple[int, int, int]]:
    """Returns label, best class, and number of images, the most frequent first.

    Of one number, those of the smaller label and class come first.
    """
    wrong = ~self.correct
    pairs = np.stack([self.labels[wrong], self.classes[wrong, 0]], 1)
    pairs, counts = np.unique(pairs, axis=0, return_counts=True)
    order = np.argsort(-counts, kind='stable')[:most]
    return [
      (int(label), int(best), int(count))
      for (label, best), count in zip(pairs[order], counts[order], strict=True)
    ]

  def class_name(self, number: int) -> str:
    """Returns the name of a class; 'background' for -1."""
    return self.class_names[number] if number >= 0 else 'background'

  def __str__(self) -> str:
    """Returns all in a line: accuracies in percent, and on what."""
    recipe = self.recipe
    parts = [
      _percent('top-1', self.top1, self.top1_interval, recipe.published_top1),
      _percent('top-5', self.top5, self.top5_interval, recipe.published_top5),
    ]
    if self.real_top1 is not None:
      parts.append(f'ReaL {self.real_top1:.1%} of {self.num_real:,}')
    images = f'{self.num_examples:,} images'
    if self.num_examples < self.num_total:
      images = f'{self.num_examples:,} of {self.num_total:,} images'
    if recipe.published_top1 and self.num_examples != imagenet.NUM_IMAGES:
      images += f', not the {imagenet.NUM_IMAGES:,} of the published number'
    rate = self.num_examples / self.seconds
    parts += [images, f'{rate:,.0f} images/s']
    return f'{self.model}: {", ".join(parts)}'.replace('%', ' %')

  def to_csv(self, path: str | os.PathLike[str]) -> None:
    """Writes a row for each image: what it is, and the k best classes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator='\n')
    columns = ['index', 'name', 'label', 'label_name', 'label_confidence']
    for i in range(1, self.classes.shape[1] + 1):
      columns += [f'class_{i}', f'name_{i}', f'score_{i}', f'confidence_{i}']
    writer.writerow(columns)
    names = self.names or [''] * self.num_examples
    for i, label in enumerate(self.labels):
      row = [self.indices[i], names[i], label, self.class_name(label)]
      row.append(self.label_confidences[i])
      for k, best in enumerate(self.classes[i]):
        row += [best, self.class_name(best)]
        row += [self.scores[i, k], self.confidences[i, k]]
      writer.writerow(row)
    small_files.write_text(os.fspath(path), text.getvalue())

  def to_html(self, path: str | os.PathLike[str]) -> None:
    """Writes a report to look at: one file that needs no network."""
    from imagenet_val_tfrec.evaluation import report  # Which imports this.

    report.write_html(self, path)


def wilson(part: float, number: int) -> Interval:
  """Returns Wilson's 95 % interval of a part, 0..1, of so many images.

  Source: E. B. Wilson, J. Am. Stat. Assoc. 22 (1927), 209.
  """
  z2 = _Z * _Z / number
  middle = (part + z2 / 2) / (1 + z2)
  reach = _Z * math.sqrt(part * (1 - part) / number + z2 / number / 4)
  reach /= 1 + z2
  return max(middle - reach, 0.0), min(middle + reach, 1.0)


def _difference(
  found: float, published: float | None, number: int
) -> float | None:
  if published is None or not 0 < published < 1:
    return None
  return (found - published) / math.sqrt(published * (1 - published) / number)


def _percent(
  what: str, found: float, interval: Interval, published: float | None
) -> str:
  reach = 100 * (interval[1] - interval[0]) / 2
  beside = '' if published is None else f' (published {100 * published:.1f})'
  return f'{what} {found:.1%} ± {reach:.1f}{beside}'
