"""What to build from: the config of the builder."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow_datasets as tfds
from absl import logging

from imagenet_val_tfrec.core import command_line, errors, storage
from imagenet_val_tfrec.dataset import features
from imagenet_val_tfrec.dataset import splits as splits_lib
from imagenet_val_tfrec.inputs import discovery, imagenet, join, layouts
from imagenet_val_tfrec.inputs import labels as labels_lib
from imagenet_val_tfrec.records import images, jpeg, metadata
from imagenet_val_tfrec.records import record as record_lib
from imagenet_val_tfrec.writing import plan as plan_lib

# By the identity of a label file, so that loads in a loop read it once.
_CLASSES: dict[tuple[object, ...], tuple[int, splits_lib.Names, bool]] = {}
# Of a config, as tfds.load takes it.
_NAME = re.compile(r'(?!\.+$)[\w+=\-.]+')
_NONE = type(None)
_PATH = (str, os.PathLike, _NONE)
# Their types, and the least of a number. In Python True is a number, too.
_OPTIONS: tuple[tuple[str, Any, int, str], ...] = (
  ('image_dir', _PATH, 0, 'a path'),
  ('label_file', _PATH, 0, 'a path'),
  ('num_images', int, 0, 'a number, 0 or more'),
  ('num_classes', (int, _NONE), 1, 'a number, 1 or more'),
  ('class_names', (list, tuple, _NONE), 0, 'a list of names'),
  ('check_labels', bool, 0, 'true or false'),
  ('max_pixels', int, 1, 'a number, 1 or more'),
  ('decode_check', bool, 0, 'true or false'),
  ('splits', (Mapping, _NONE), 0, '{"train": …, "validation": …}'),
  ('shuffle', (str, list, tuple), 0, 'a split, or a list of splits'),
  ('shuffle_seed', int, 0, 'a number, 0 or more'),
  ('refuse_duplicates', bool, 0, 'true or false'),
  ('with_names', bool, 0, 'true or false'),
  ('formats', (list, tuple), 0, f'a list of {", ".join(images.FORMATS)}'),
)


@dataclasses.dataclass(eq=False, kw_only=True)
class ImagenetValTfrecConfig(tfds.core.BuilderConfig):
  """What to build from.

  Attributes:
    image_dir: A folder of images, or a `.tar`; if None, looked for in
      `manual_dir`. Without a label file its folders say splits and classes.
    label_file: One `NAME LABEL` a line; if None, looked for in `manual_dir`.
      Official images need none. With lists of labels, in `.jsonl`, the feature
      is `labels`, a sequence.
    num_images: Only the first that many examples of a split (0: all), once it
      is shuffled.
    num_classes: By default as many as `class_names`; or the largest label + 1.
    class_names: Names of the classes, in order.
    check_labels: Whether official images must have the true labels.
    max_pixels: Most pixels that an image header may promise.
    decode_check: Whether every image is decoded while building, so that what
      is damaged inside is refused too; takes ten times as long.
    splits: The label file of each split, by its name; or a folder or tar of
      class folders; or both, `{'image_dir': …, 'label_file': …}`. The first
      split says which classes there are. By default what is in `image_dir`, or
      one split, `validation`.
    shuffle: Splits, or one, whose examples are put in a random order, which
      follows from their number and `shuffle_seed` alone.
    shuffle_seed: Another number makes another order.
    refuse_duplicates: Whether an image that is in two splits is an error; else
      a warning counts them.
    formats: Of the images: 'jpeg', 'png', 'webp' (not with transparency, which
      TensorFlow does not decode to RGB) or 'gif' (of one picture). Files are
      stored as they are, so an orientation in EXIF is not applied.
    with_names: Whether there is a sixth feature, `file_name`: the name of the
      file, as in the labels.

  Example:
    >>> config = imagenet_val_tfrec.ImagenetValTfrecConfig(
    ...   name='pictures',
    ...   image_dir='dummy_data/val_images',
    ...   label_file='dummy_data/val.txt',
    ... )
    >>> builder = imagenet_val_tfrec.Builder(data_dir='data', config=config)
    >>> builder.download_and_prepare()
    >>> len(builder.as_dataset(split='validation'))
    8
  """

  image_dir: str | None = None
  label_file: str | None = None
  num_images: int = 0
  num_classes: int | None = None
  # TFDS logs a config as it is: not with a thousand names.
  class_names: Sequence[str] | None = dataclasses.field(
    default=None, repr=False
  )
  check_labels: bool = True
  max_pixels: int = jpeg.MAX_PIXELS
  decode_check: bool = False
  splits: Mapping[str, Any] | None = None
  shuffle: str | Sequence[str] = ()
  shuffle_seed: int = 0
  refuse_duplicates: bool = False
  formats: Sequence[str] = ('jpeg', 'png')
  with_names: bool = False

  # What was read for the label's feature, to build from; by the path.
  _labels_read: dict[str, labels_lib.Labels] = dataclasses.field(
    default_factory=dict, init=False, repr=False
  )

  def __post_init__(self) -> None:
    if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
      raise errors.InputError(
        f'name is {self.name!r}, expected letters, digits and _ + = - . alone'
      )
    for option, kinds, least, expected in _OPTIONS:
      value = getattr(self, option)
      wrong = type(value) is int and value < least
      if option == 'formats':
        wrong = not value or not all(v in tuple(images.FORMATS) for v in value)
      if not isinstance(value, kinds) or wrong:
        raise errors.InputError(f'{option} is {value!r}, expected {expected}')
    self.formats = tuple(self.formats)
    self.image_dir = self.image_dir and os.fspath(self.image_dir)
    self.label_file = self.label_file and os.path.expanduser(self.label_file)
    shuffle = self.shuffle
    self.shuffle = (shuffle,) if isinstance(shuffle, str) else tuple(shuffle)
    if self.class_names is not None:
      names = list(self.class_names)
      if {*map(type, names)} != {str} or len({*names}) < len(names):
        found = errors.some([str(name) for name in names])
        raise errors.InputError(
          f'class_names is {found}, expected strings that differ'
        )
      number = len(names)
      if self.num_classes not in (None, number):
        raise errors.InputError(
          f'num_classes is {self.num_classes}, but there are {number} '
          'class_names; say one of the two'
        )
      self.num_classes = number
    splits_lib.said(self.splits, self.image_dir, self.label_file)

  def examples(
    self, manual_dir: str, limit: int = 0, of: Any = None
  ) -> dict[str, join.Examples]:
    """Finds images and labels of each split and puts them together.

    What the config does not name is looked for in `manual_dir`. Only the first
    `limit` examples of a split are taken (0: all). They must fit the features
    `of` a dataset, if given. Raises InputError if anything does not fit,
    FileNotFoundError if there is nothing.
    """
    several = of and metadata.has_lists(of)
    num_classes = of and features.class_label(of).num_classes
    limit = min((n for n in (self.num_images, limit) if n), default=0)
    parts, class_names, kinds = self._find(manual_dir)
    for kind in kinds:
      logging.info('%s', kind)
    if unknown := {*self.shuffle} - {*parts}:
      raise errors.InputError(
        f'shuffle is {errors.some(sorted(unknown))}, expected some of the '
        f'splits {errors.some([*parts], 9)}'
      )
    class_names = self.class_names or class_names
    images = [part.source for part in parts.values()]
    result = {}
    for name, part in parts.items():
      try:
        labels = self._labels(part, class_names)
        class_names = class_names or labels.class_names
        if several is None:
          several = labels.several
        if labels.several != several:
          found, expected = map(
            record_lib.number_of_labels, (labels.several, several)
          )
          raise errors.InputError(
            f'{labels.where(0)}: {found} for an image, expected {expected}, as '
            'in another split, or when the builder was made'
          )
        if num_classes is not None:
          labels.check_range(num_classes)
        if name in self.shuffle:
          labels = plan_lib.shuffled(labels, self.shuffle_seed)
        located = join.locate(
          labels,
          part.source,
          limit=limit,
          max_pixels=self.max_pixels,
          all_are_named=images.count(part.source) == 1,
        )
        result[name] = dataclasses.replace(located, with_names=self.with_names)
      except errors.InputError as e:
        if len(parts) == 1:
          raise
        raise errors.InputError(f'split {name!r}: {e}') from e
    return result

  def state_of(self, examples: Mapping[str, join.Examples], limit: int) -> str:
    """Returns `find_state` as it was when these examples were found."""
    states = {
      name: (part.source.kind, part.source_state, part.labels.file_state)
      for name, part in examples.items()
    }
    return self._state(limit, states)

  def find_state(self, manual_dir: str, limit: int) -> str:
    """Returns what changes whenever sizes or times of the input do; quick."""
    states = {}
    for name, (source, label_file) in self._find(manual_dir).parts.items():
      of_labels = storage.identity_of(label_file) if label_file else None
      states[name] = source.kind, source.state(), of_labels
    return self._state(limit, states)

  def _state(self, limit: int, states: Mapping[str, tuple[object, ...]]) -> str:
    options: tuple[object, ...] = limit, self.num_images, self.check_labels
    if [*states] != [splits_lib.DEFAULT] or self.shuffle:
      options += *states, self.shuffle, self.shuffle_seed
    parts = itertools.chain(options, *states.values())
    return hashlib.sha256(repr((*parts,)).encode()).hexdigest()

  def label_feature(self, built: str | None = None) -> dict[str, Any]:
    """Returns the feature `label`, or `labels`; the same for all splits.

    If the label files are gone, the dataset in `built` tells which.
    """
    number, names, several = self.num_classes, self.class_names, False
    said = splits_lib.said(self.splits, self.image_dir, self.label_file)
    if not (self.image_dir or self.label_file or self.splits):
      number = number or imagenet.NUM_CLASSES
    elif not number or splits_lib.may_have_lists(said):
      try:
        parts, of_folders, _ = splits_lib.find(said, None)
        found, counts = names or of_folders, []
        for _, label_file in parts.values():
          count, found, has_lists = self._classes(label_file, found)
          several |= has_lists
          counts.append(count)
        if not number:
          number, names = max(counts), found
      except (errors.InputError, OSError):  # Whoever builds is told why.
        with contextlib.suppress(errors.FileError):
          several = metadata.has_lists(
            metadata.read_features(built)[0] if built else ()
          )
    return features.of_label(number, names, several)

  def _classes(
    self, label_file: str | None, names: splits_lib.Names
  ) -> tuple[int, splits_lib.Names, bool]:
    """Returns how many classes there are, and their names if they have some.

    And whether an image has a list of them.
    """
    if not label_file:
      names = names or imagenet.wnids()
      return len(names), names, False
    key = storage.identity_of(label_file), names and tuple(names)
    if key not in _CLASSES:
      labels = discovery.read_labels(label_file, names)
      self._labels_read[label_file] = labels
      names = labels.class_names or names
      _CLASSES[key] = labels.num_classes(), names, labels.several
    return _CLASSES[key]

  def checks(self) -> jpeg.Checks:
    """Returns what is refused in an image."""
    return jpeg.Checks(
      max_pixels=self.max_pixels,
      decode=self.decode_check,
      formats=tuple(self.formats),
    )

  def shuffle_seeds(self) -> dict[str, int]:
    """Returns the seed of each split that is shuffled."""
    return dict.fromkeys(self.shuffle, self.shuffle_seed)

  def _find(self, manual_dir: str | None) -> splits_lib.Found:
    said = splits_lib.said(self.splits, self.image_dir, self.label_file)
    return splits_lib.find(said, manual_dir)

  def _labels(
    self, part: layouts.Part, names: splits_lib.Names
  ) -> labels_lib.Labels:
    """Reads labels, a file once for the feature and the examples."""
    source, label_file = part
    labels = self._labels_read.pop(label_file or '', None)
    if not label_file and not (self.image_dir or self.splits):
      labels = imagenet.true_label_file()
    elif not label_file:
      labels = layouts.labels_of(source, names)
    elif not labels or labels.file_state != storage.identity_of(label_file):
      labels = discovery.read_labels(label_file, names)
    if self.check_labels:
      imagenet.check_labels(labels)
    return labels


def from_flag(text: str | None) -> str | ImagenetValTfrecConfig | None:
  """Returns what `--config` means: the name of a config, or one as JSON."""
  if not text or not text.startswith('{'):
    return text
  try:
    return ImagenetValTfrecConfig(**json.loads(text))
  except (TypeError, ValueError) as e:
    if words := command_line.of_config(e):
      raise errors.InputError(words) from e
    raise
