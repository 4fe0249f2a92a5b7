"""What to build from: the config of the builder."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow_datasets as tfds
from absl import logging

from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.inputs import (
  discovery,
  imagenet,
  join,
  layouts,
  sources,
)
from imagenet_val_tfrec.inputs import labels as labels_lib
from imagenet_val_tfrec.records import jpeg
from imagenet_val_tfrec.writing import plan as plan_lib

# Their names and number, by the identity of a label file, so that loads in a
# loop read it once.
_CLASSES: dict[tuple[object, ...], tuple[Sequence[str] | None, int]] = {}
# Of a config, as tfds.load takes it.
_NAME = re.compile(r'(?!\.+$)[\w+=\-.]+')
_SPLIT = 'validation'  # Where nobody says another one.

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
)


class _Place(NamedTuple):
  """Where a split is made from; what is None is looked for."""

  image_dir: str | None
  label_file: str | None = None


@dataclasses.dataclass(eq=False, kw_only=True)
class ImagenetValTfrecConfig(tfds.core.BuilderConfig):
  """What to build from.

  Attributes:
    image_dir: A folder of images, or a `.tar`; if None, looked for in
      `manual_dir`.
    label_file: One `NAME LABEL` a line; if None, looked for in `manual_dir`.
      Official images need none.
    num_images: Only the first that many lines of the label file (0: all); of a
      split that is shuffled, that many of all.
    num_classes: By default as many as `class_names`; or the largest label + 1.
    class_names: Names of the classes, in order.
    check_labels: Whether official images must have the true labels.
    max_pixels: Most pixels that an image header may promise.
    decode_check: Whether every image is decoded while building, so that what
      is damaged inside is refused too; takes ten times as long.

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
  class_names: Sequence[str] | None = None
  check_labels: bool = True
  max_pixels: int = jpeg.MAX_PIXELS
  decode_check: bool = False
  splits: Mapping[str, Any] | None = None
  shuffle: str | Sequence[str] = ()
  shuffle_seed: int = 0
  refuse_duplicates: bool = False

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
      if not isinstance(value, kinds) or (type(value) is int and value < least):
        raise errors.InputError(f'{option} is {value!r}, expected {expected}')
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
    self._places()

  def examples(
    self, manual_dir: str, limit: int = 0, num_classes: int | None = None
  ) -> dict[str, join.Examples]:
    """Finds images and labels of each split and puts them together.

    What the config does not name is looked for in `manual_dir`. Only the first
    `limit` examples of a split are taken (0: all). Raises InputError if
    anything does not fit, FileNotFoundError if there is nothing.
    """
    limit = min((n for n in (self.num_images, limit) if n), default=0)
    parts = self._parts(manual_dir, logging.info)
    names = self.class_names
    result = {}
    for name, part in parts.items():
      source = part.source
      is_alone = sum(source == other.source for other in parts.values()) == 1
      try:
        labels = self._labels(part, names)
        names = names or labels.class_names
        if num_classes is not None:
          labels.check_range(num_classes)
        if name in self.shuffle:
          labels = plan_lib.shuffled(labels, self.shuffle_seed)
        result[name] = join.locate(
          labels,
          source,
          limit=limit,
          max_pixels=self.max_pixels,
          all_are_named=is_alone,
        )
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
    for name, (source, label_file) in self._parts(manual_dir).items():
      of_labels = storage.identity_of(label_file) if label_file else None
      states[name] = source.kind, source.state(), of_labels
    return self._state(limit, states)

  def _state(self, limit: int, states: Mapping[str, tuple[object, ...]]) -> str:
    options: tuple[object, ...] = limit, self.num_images, self.check_labels
    if [*states] != [_SPLIT] or self.shuffle:
      options += *states, self.shuffle, self.shuffle_seed
    parts = itertools.chain(options, *states.values())
    return hashlib.sha256(repr((*parts,)).encode()).hexdigest()

  def label_feature(self) -> tfds.features.ClassLabel:
    """Returns the feature of the label, the same for all splits."""
    doc = 'Class of the image, as in the label file.'
    names, number = self.class_names, self.num_classes
    if names is None:
      # Whoever builds is told what is wrong with the input.
      with contextlib.suppress(errors.InputError, OSError):
        names, found = self._find_classes()
        if number not in (None, found):
          names = None
        number = number or found
    if names is not None:
      return tfds.features.ClassLabel(names=list(names), doc=doc)
    return tfds.features.ClassLabel(num_classes=number, doc=doc)

  def _find_classes(self) -> tuple[Sequence[str] | None, int]:
    """Returns the names of the classes, if they have some, and their number."""
    names, number = None, 0
    for image_dir, label_file in self._places().values():
      if label_file:
        of_file, largest = self._classes_in(label_file)
      elif image_dir:
        of_file, largest = layouts.look(image_dir).class_names, 0
      else:
        of_file, largest = None, imagenet.NUM_CLASSES
      names = names or of_file
      number = max(number, largest)
    return names, len(names or ()) or number or imagenet.NUM_CLASSES

  def _classes_in(self, path: str) -> tuple[Sequence[str] | None, int]:
    identity = storage.identity_of(path)
    if identity not in _CLASSES:
      labels = self._labels_read[path] = discovery.read_labels(path)
      _CLASSES[identity] = labels.class_names, labels.num_classes()
    return _CLASSES[identity]

  def checks(self) -> jpeg.Checks:
    """Returns what is refused in an image."""
    return jpeg.Checks(max_pixels=self.max_pixels, decode=self.decode_check)

  def _places(self) -> dict[str, _Place]:
    """Returns where each split is made from."""
    if self.splits is None:
      return {_SPLIT: _Place(self.image_dir, self.label_file)}
    if self.label_file or not self.splits:
      raise errors.InputError(
        f'splits is {self.splits!r}, label_file {self.label_file!r}, expected '
        'a split at least, and label files in splits alone'
      )
    places = {}
    for name, place in self.splits.items():
      check_split(name)
      if isinstance(place, (str, os.PathLike)):
        place = {'label_file' if self.image_dir else 'image_dir': place}
      try:
        given = {'image_dir': self.image_dir, **place}
        paths = {key: os.path.expanduser(path) for key, path in given.items()}
        places[name] = _Place(**paths)
      except TypeError as e:
        raise errors.InputError(
          f'split {name!r} is {place!r}, expected a path, or '
          '{"image_dir": …, "label_file": …}'
        ) from e
    return places

  def _parts(
    self, manual_dir: str, tell: Callable[[str], None] | None = None
  ) -> dict[str, layouts.Part]:
    """Returns where images and labels of each split are; tells what was found.

    Where images stand alone, their folders tell of splits and classes.
    """
    parts: dict[str, layouts.Part] = {}
    for name, (image_dir, label_file) in self._places().items():
      if not image_dir:
        source = discovery.find_images(manual_dir)
        label_file = label_file or discovery.find_label_file(manual_dir)
        parts[name] = layouts.Part(source, label_file)
      elif label_file:
        source = sources.open_source(image_dir)
        parts[name] = layouts.Part(source, label_file)
      else:
        layout = layouts.look(image_dir)
        if tell:
          tell(f'{image_dir}: {layout.kind}')
        found = dict(layout.parts)
        if self.splits and len(found) > 1:
          raise errors.InputError(
            f'split {name!r}: {image_dir} has splits of its own, '
            f'{errors.some([*found])}; name the folder of one of them'
          )
        if self.splits:
          found = {name: next(iter(found.values()))}
        parts |= found
    if unknown := {*self.shuffle} - {*parts}:
      raise errors.InputError(
        f'shuffle is {errors.some(sorted(unknown))}, expected some of the '
        f'splits {errors.some([*parts], 9)}'
      )
    return parts

  def _labels(
    self, part: layouts.Part, class_names: Sequence[str] | None
  ) -> labels_lib.Labels:
    """Reads labels, a file once for the feature and the examples."""
    source, path = part
    labels = self._labels_read.pop(path or '', None)
    if not path and (self.image_dir or self.splits):
      labels = layouts.labels_of(source, class_names)
    elif not path:
      labels = imagenet.true_label_file()
    elif not labels or labels.file_state != storage.identity_of(path):
      labels = discovery.read_labels(path, class_names)
    if self.check_labels:
      imagenet.check_labels(labels)
    return labels


def check_split(name: object) -> None:
  """Raises InputError if TFDS cannot have a split of that name."""
  # It gives 'all' and what is in other names a meaning of its own.
  if not re.fullmatch(r'\w+', str(name)) or name == 'all':
    raise errors.InputError(
      f'split is {name!r}, expected a name of letters and digits, such as '
      "'validation' (but not 'all')"
    )
