"""What is known about the ImageNet-2012 validation set: labels and classes.

The true labels ship with `tensorflow-datasets` (`datasets/imagenet2012`), in
the order of the file names, and as WordNet ids, in sorted order; mapped to
0..999 they are those of Caffe's `val.txt`. The names of the classes are in
`class_names.txt`, one a line: the first word that WordNet 3.0 has for the id
(https://wordnet.princeton.edu). Cranes and maillots, two classes each, have in
parentheses what they are, and the dog that shares its name with a jacket is the
Cardigan Welsh corgi.
"""

from __future__ import annotations

import array
import functools
import hashlib
import importlib.util
import itertools
import os
import re
from collections.abc import Sequence
from typing import Any

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import labels as labels_lib

NUM_IMAGES = 50_000
NUM_CLASSES = 1_000

_OFFICIAL = re.compile(r'(?:.*/)?ILSVRC2012_val_([0-9]{8})\.JPEG')
_SHOWN = 5
_TELLING = 3  # Fewer wrong labels do not show a cause.
_MOST_SHIFTED = 3  # Lines.


@functools.cache
def wnids() -> tuple[str, ...]:
  """Returns the 1,000 WordNet ids in class order, e.g. `'n01440764'`."""
  return tuple(_shipped('labels.txt'))


@functools.cache
def true_labels() -> Sequence[int]:
  """Returns the 50,000 labels, 0..999, in the order of the file names."""
  index = {wnid: label for label, wnid in enumerate(wnids())}
  of_images = _shipped('validation_labels.txt')
  return array.array('h', [index[wnid] for wnid in of_images])


@functools.cache
def _class_names() -> tuple[str, ...]:
  path = os.path.join(os.path.dirname(__file__), 'class_names.txt')
  with open(path, encoding='utf-8') as file:
    return tuple(file.read().splitlines())


def class_name(label: int) -> str:
  """Returns the name that people know a class by; no two classes share one.

  Args:
    label: 0..999, as in the dataset.

  Raises:
    ValueError: if there is no such class.

  Example:
    >>> imagenet.class_name(985)
    'daisy'
  """
  if not 0 <= label < NUM_CLASSES:
    raise errors.InputError(
      f'label is {label}, expected 0 to {NUM_CLASSES - 1}'
    )
  return _class_names()[label]


def named(label: int) -> str:
  """Returns a label for a message, such as `985 (daisy)`."""
  known = 0 <= label < NUM_CLASSES
  return f'{label} ({class_name(label)})' if known else str(label)


def official_name(number: int) -> str:
  """Returns the file name of an image, by its number from 1."""
  return f'ILSVRC2012_val_{number:08d}.JPEG'


def is_official(name: str) -> bool:
  """Whether it is the name of a validation image (in any folder)."""
  return bool(_OFFICIAL.fullmatch(name))


def official_number(name: str) -> int:
  """Returns the number of a validation image, from 1; 0 if it is none."""
  match = _OFFICIAL.fullmatch(name)
  number = int(match[1]) if match else 0
  return number if number <= NUM_IMAGES else 0


def true_label_file() -> labels_lib.Labels:
  """Returns the true labels as if read from a file, in name order."""
  lines = range(1, NUM_IMAGES + 1)
  names = [official_name(number) for number in lines]
  pairs = zip(names, true_labels(), strict=True)
  text = ''.join(f'{name} {label}\n' for name, label in pairs)
  return labels_lib.Labels(
    path='the true labels',
    names=names,
    labels=array.array('i', true_labels()),
    lines=lines,
    sha256=hashlib.sha256(text.encode()).hexdigest(),
  )


def check_labels(
  labels: labels_lib.Labels, *, unless: str = 'check_labels=False in the config'
) -> None:
  """Raises LabelError if official names have other labels than the true ones.

  It names the cause where it is a known one, and by `unless` how to switch this
  check off. Other names pass, and lists: they are meant to say something else.
  """
  if labels.several:
    return
  truth = true_labels()
  official, true = array.array('i'), array.array('i')
  for i, name in enumerate(labels.names):
    if number := official_number(name):
      official.append(i)
      true.append(truth[number - 1])
  of_images: Any = labels.labels
  found = array.array('i', [of_images[i] for i in official])
  if found == true:
    return
  wrong = array.array('i', (k for k, t in enumerate(true) if found[k] != t))
  lines = [
    f'{labels.path}: {len(wrong):,} of {len(official):,} labels of official '
    'names are not the true ones:'
  ]
  for k in wrong[:_SHOWN]:
    name = errors.quoted(labels.names[official[k]])
    lines.append(
      f'  {labels.where(official[k])}: {name} has label {named(found[k])}, '
      f'the true one is {named(true[k])}'
    )
  if len(wrong) > _SHOWN:
    lines.append(f'  … and {len(wrong) - _SHOWN:,} more')
  first = official[wrong[0]]
  only_last = len(wrong) == 1 and first == len(labels) - 1
  cut_short = labels.cut_short and only_last
  if cause := _cause(found, true, wrong, labels.where(first), cut_short):
    lines.append(f'Cause: {cause}.')
  lines.append(f'Use the true labels, or say {unless} if you mean these.')
  raise labels_lib.LabelError('\n'.join(lines))


def _cause(
  found: Sequence[int],
  true: Sequence[int],
  wrong: Sequence[int],
  start: str,
  cut_short: bool,
) -> str:
  """Names the mistake behind the wrong labels, or ''.

  `wrong` are the indices where `found` and `true` differ, `start` is the place
  of the first; `cut_short`: only the last line is wrong, and it has no end.
  """
  if cut_short and str(true[-1]).startswith(str(found[-1])):
    return 'the file is cut within its last number'
  if len(wrong) < _TELLING:
    return ''
  if all(f == t + 1 for f, t in zip(found, true, strict=True)):
    return (
      'the labels are 1..1000, as for models with a background class 0; '
      'subtract 1 from each'
    )
  if _is_renumbering(found, true):
    return (
      'the classes are numbered in another order, as ILSVRC2012_ID in the '
      'ILSVRC devkit does (1..1000), not by sorted WordNet id'
    )
  same = sorted(found) == sorted(true)
  if same and all(a <= b for a, b in itertools.pairwise(found)):
    return 'the labels are sorted, without their names'
  if shift := _shift(found, true):
    return f'from {start} on, each label stands {shift}'
  if same:
    return 'names and labels are in different orders, as if one were sorted'
  return ''


def _is_renumbering(found: Sequence[int], true: Sequence[int]) -> bool:
  """Whether each class goes by another number, always the same."""
  pairs = set(zip(found, true, strict=True))
  classes = len(set(true))
  # With hardly more images than classes any labels look like a renumbering.
  return len(pairs) == classes == len(set(found)) and len(found) >= 2 * classes


def _shift(found: Sequence[int], true: Sequence[int]) -> str:
  """Says by how many lines labels are off, from the first wrong one on."""
  pairs = enumerate(zip(found, true, strict=True))
  start = next(i for i, (f, t) in pairs if f != t)
  found, true = found[start:], true[start:]
  for lines in range(1, min(_MOST_SHIFTED, len(found) - _TELLING) + 1):
    if found[lines:] == true[:-lines]:
      return f'{lines} line(s) too late'
    if found[:-lines] == true[lines:]:
      return f'{lines} line(s) too early'
  return ''


def _shipped(name: str) -> list[str]:
  # By its place alone: importing the package takes longer than reading it.
  package = importlib.util.find_spec('tensorflow_datasets')
  if package is None or not package.submodule_search_locations:
    raise errors.InputError(
      'tensorflow-datasets is not installed, so the true labels are not '
      'there: pip install tensorflow-datasets'
    )
  folder = package.submodule_search_locations[0]
  path = os.path.join(folder, 'datasets', 'imagenet2012', name)
  with open(path, encoding='utf-8') as file:
    return file.read().split()
