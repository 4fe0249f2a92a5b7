"""Which splits there are, and where the images and labels of each one are."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import discovery, layouts, sources

DEFAULT = 'validation'

Names: TypeAlias = Sequence[str] | None


class Place(NamedTuple):
  """Where a split is: as the config says, or as was found by looking."""

  images: sources.ImageSource | str | None  # None: in `manual_dir`.
  label_file: str | None = None


class Found(NamedTuple):
  """What the config says and what is there, without reading a label."""

  places: dict[str, Place]
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

  The split '' is one of which only the images are known, or several. Raises
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
      value = {'label_file' if image_dir else 'image_dir': value}
    try:
      given = {'image_dir': image_dir, **value}
      place = Place(os.path.expanduser(given.pop('image_dir')))
      paths = {key: os.path.expanduser(path) for key, path in given.items()}
      places[name] = place._replace(**paths)
    except (TypeError, ValueError) as e:
      raise errors.InputError(
        f'split {name!r} is {value!r}, expected a path, or '
        '{"image_dir": …, "label_file": …}'
      ) from e
  return places


def look(places: Mapping[str, Place]) -> Found:
  """Looks at folders and tars that come without a label file."""
  found: dict[str, Place] = {}
  class_names: Names = None
  kinds = []
  for name, place in places.items():
    if place.label_file or not isinstance(place.images, str):
      found[name] = place
      continue
    layout = layouts.look(place.images)
    kinds.append(f'{place.images}: {layout.kind}')
    class_names = class_names or layout.class_names
    parts = {split: Place(*part) for split, part in layout.parts.items()}
    if name and len(parts) > 1:
      raise errors.InputError(
        f'split {name!r}: there are several in {place.images}, '
        f'{errors.some([*parts])}; name the folder of one of them'
      )
    found |= {name or split: part for split, part in parts.items()}
  return Found(found, class_names, kinds)


def open_all(found: Found, manual_dir: str) -> dict[str, layouts.Part]:
  """Opens all images; what nobody said is looked for in `manual_dir`."""
  parts = {}
  for name, (images, label_file) in found.places.items():
    if images is None:
      images = discovery.find_images(manual_dir)
      label_file = label_file or discovery.find_label_file(manual_dir)
    elif isinstance(images, str):
      images = sources.open_source(images)
    parts[name] = layouts.Part(images, label_file)
  return parts
