"""Which splits there are, and where the images and labels of each one are."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import discovery, layouts, sources

DEFAULT = 'validation'

_LABEL_FILES = ('.txt', '.csv', '.jsonl')

Names: TypeAlias = Sequence[str] | None


class Place(NamedTuple):
  """What the config says of a split; what is None is looked for."""

  image_dir: str | None
  label_file: str | None = None


class Found(NamedTuple):
  """What the config says and what is there, without reading a label."""

  parts: dict[str, layouts.Part]
  class_names: Names = None  # Of class folders.
  kinds: Sequence[str] = ()  # What was found, in words.


def check_name(name: object) -> None:
  """Raises InputError if TFDS cannot have a split of that name."""
  # It gives 'all' and what is in other names a meaning of its own.
  if not re.fullmatch(r'\w+', str(name)) or name == 'all':
    raise errors.InputError(
      f'split is {name!r}, expected a name of letters and digits, such as '
      "'validation' (but not 'all')"
    )


def said(
  splits: Mapping[str, Any] | None, image_dir: Any, label_file: Any
) -> dict[str, Place]:
  """Returns what options of the config say of each split.

  By the name '' go images whose folders say which splits there are. Raises
  InputError if what is said has no meaning.
  """
  if splits is None:
    is_open = image_dir and not label_file
    return {'' if is_open else DEFAULT: Place(image_dir, label_file)}
  if label_file or not splits:
    raise errors.InputError(
      f'splits is {splits!r}, label_file {label_file!r}, expected a split at '
      'least, and label files in splits alone'
    )
  places = {}
  for name, value in splits.items():
    check_name(name)
    if isinstance(value, (str, os.PathLike)):
      is_file = image_dir or os.fspath(value).endswith(_LABEL_FILES)
      value = {'label_file' if is_file else 'image_dir': value}
    try:
      given = {'image_dir': image_dir, **value}
      paths = {key: os.path.expanduser(path) for key, path in given.items()}
      places[name] = Place(**paths)
    except TypeError as e:
      raise errors.InputError(
        f'split {name!r} is {value!r}, expected the path of class folders, or '
        'of a label file for image_dir, or {"image_dir": …, "label_file": …}'
      ) from e
  return places


def may_have_lists(places: Mapping[str, Place]) -> bool:
  """Whether images may have lists of labels; only reading tells if they do."""
  return any(
    label_file.endswith('.jsonl') if label_file else image_dir
    for image_dir, label_file in places.values()
  )


def find(places: Mapping[str, Place], manual_dir: str | None) -> Found:
  """Finds the images of each split, and the label file if there is one.

  What the config does not say is looked for in `manual_dir`; without one, the
  source of images may be None.
  """
  found: dict[str, layouts.Part] = {}
  class_names: Names = None
  kinds = []
  for name, (image_dir, label_file) in places.items():
    if image_dir and not label_file:
      layout = layouts.look(image_dir)
      kinds.append(f'{image_dir}: {layout.kind}')
      class_names = class_names or layout.class_names
      if name and len(layout.parts) > 1:
        raise errors.InputError(
          f'split {name!r}: there are several in {image_dir}, '
          f'{errors.some([*layout.parts])}; name the folder of one of them'
        )
      found |= {name or split: part for split, part in layout.parts.items()}
      continue
    source: Any = None
    if image_dir:
      source = sources.open_source(image_dir)
    elif manual_dir is not None:
      source = discovery.find_images(manual_dir)
      label_file = label_file or discovery.find_label_file(manual_dir)
    found[name] = layouts.Part(source, label_file)
  return Found(found, class_names, kinds)
