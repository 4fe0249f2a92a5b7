"""What to build from: the config of the builder."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Sequence
from typing import Any

import tensorflow_datasets as tfds

from imagenet_val_tfrec.core import command_line, errors, storage
from imagenet_val_tfrec.inputs import discovery, imagenet, join, sources
from imagenet_val_tfrec.inputs import labels as labels_lib
from imagenet_val_tfrec.records import jpeg

# By the identity of a label file, so that loads in a loop read it once.
_NUM_CLASSES: dict[tuple[object, ...], int] = {}
# Of a config, as tfds.load takes it.
_NAME = re.compile(r'(?!\.+$)[\w+=\-.]+')


_PATH = (str, os.PathLike, type(None))
# Their types, and the least of a number. In Python True is a number, too.
_OPTIONS: tuple[tuple[str, Any, int, str], ...] = (
  ('image_dir', _PATH, 0, 'a path'),
  ('label_file', _PATH, 0, 'a path'),
  ('num_images', int, 0, 'a number, 0 or more'),
  ('num_classes', (int, type(None)), 1, 'a number, 1 or more'),
  ('class_names', (list, tuple, type(None)), 0, 'a list of names'),
  ('check_labels', bool, 0, 'true or false'),
  ('max_pixels', int, 1, 'a number, 1 or more'),
  ('decode_check', bool, 0, 'true or false'),
)


@dataclasses.dataclass(eq=False, kw_only=True)
class ImagenetValTfrecConfig(tfds.core.BuilderConfig):
  """What to build from.

  Attributes:
    image_dir: A folder of images, or a `.tar`; if None, looked for in
      `manual_dir`.
    label_file: One `NAME LABEL` a line; if None, looked for in `manual_dir`.
      Official images need none.
    num_images: Only the first that many lines of the label file (0: all).
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
  # TFDS logs a config as it is: not with a thousand names.
  class_names: Sequence[str] | None = dataclasses.field(
    default=None, repr=False
  )
  check_labels: bool = True
  max_pixels: int = jpeg.MAX_PIXELS
  decode_check: bool = False

  # What was read for the label's feature, to build from.
  _labels_read: labels_lib.Labels | None = dataclasses.field(
    default=None, init=False, repr=False
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

  def examples(
    self, manual_dir: str, limit: int = 0, num_classes: int | None = None
  ) -> join.Examples:
    """Finds images and labels and puts them together.

    What the config does not name is looked for in `manual_dir`. Only the first
    `limit` examples are taken (0: all). Raises InputError if anything does not
    fit, FileNotFoundError if there is nothing.
    """
    source, label_file = self._find(manual_dir)
    if label_file:
      labels = self._read_labels(label_file)
    elif self.image_dir:
      labels = discovery.labels_of(source)
    else:
      labels = imagenet.true_label_file()
    if self.check_labels:
      imagenet.check_labels(labels)
    if num_classes is not None:
      labels.check_range(num_classes)
    limits = [n for n in (self.num_images, limit) if n]
    limit = min(limits, default=0)
    return join.locate(labels, source, limit=limit, max_pixels=self.max_pixels)

  def state_of(self, examples: join.Examples, limit: int) -> str:
    """Returns `find_state` as it was when these examples were found."""
    states = examples.source_state, examples.labels.file_state
    return self._state(limit, examples.source.kind, *states)

  def find_state(self, manual_dir: str, limit: int) -> str:
    """Returns what changes whenever sizes or times of the input do; quick."""
    source, label_file = self._find(manual_dir)
    of_labels = storage.identity_of(label_file) if label_file else None
    return self._state(limit, source.kind, source.state(), of_labels)

  def _state(self, limit: int, *states: object) -> str:
    options = limit, self.num_images, self.check_labels
    return hashlib.sha256(repr((*options, *states)).encode()).hexdigest()

  def label_feature(self) -> tfds.features.ClassLabel:
    """Returns the feature of the label."""
    doc = 'Class of the image, as in the label file.'
    if self.class_names is not None:
      return tfds.features.ClassLabel(names=self.class_names, doc=doc)
    number = self.num_classes
    if number is None and not self.label_file:
      number = imagenet.NUM_CLASSES
    elif number is None and self.label_file and storage.exists(self.label_file):
      # Whoever builds is told what is wrong with it.
      identity = storage.identity_of(self.label_file)
      with contextlib.suppress(errors.InputError):
        if identity not in _NUM_CLASSES:
          self._labels_read = discovery.read_labels(self.label_file)
          _NUM_CLASSES[identity] = self._labels_read.num_classes()
        number = _NUM_CLASSES[identity]
    return tfds.features.ClassLabel(num_classes=number, doc=doc)

  def checks(self) -> jpeg.Checks:
    """Returns what is refused in an image."""
    return jpeg.Checks(max_pixels=self.max_pixels, decode=self.decode_check)

  def _find(self, manual_dir: str) -> tuple[sources.ImageSource, str | None]:
    """Returns the images, and the label file if there is one."""
    if self.image_dir:
      return sources.open_source(self.image_dir), self.label_file
    source = discovery.find_images(manual_dir)
    return source, self.label_file or discovery.find_label_file(manual_dir)

  def _read_labels(self, path: str) -> labels_lib.Labels:
    """Reads the label file, once for the feature and the examples."""
    labels, self._labels_read = self._labels_read, None
    if labels and labels.file_state == storage.identity_of(path):
      return labels
    return discovery.read_labels(path)


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
