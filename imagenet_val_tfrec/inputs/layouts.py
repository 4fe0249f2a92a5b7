"""What a folder or a tar holds where no label file is given: splits, classes.

Its folders' names alone tell. Where they may be read in two ways, none is
taken: the message says which they are, and what to write.
"""

from __future__ import annotations

import array
import dataclasses
import hashlib
import itertools
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import discovery, imagenet, sources
from imagenet_val_tfrec.inputs import labels as labels_lib

# Folders of splits, as Hugging Face's `datasets` knows them.
_SPLITS = {
  'train': ('train', 'training'),
  'validation': ('validation', 'val', 'valid', 'dev'),
  'test': ('test', 'testing', 'eval', 'evaluation'),
}
_METADATA = ('metadata.csv', 'metadata.jsonl')
# Those of torchvision's `ImageFolder`, and GIF.
_IMAGES = (
  *('.jpg', '.jpeg', '.png', '.webp', '.gif'),
  *('.bmp', '.pgm', '.ppm', '.tif', '.tiff'),
)
_KEPT = 4  # Names for a message; one more than it shows.
_WRITE = (
  'Say what you mean in the config: "splits": {"train": …, "validation": …}, '
  'with a path of class folders, or {"image_dir": …, "label_file": …}, for each'
)


class LayoutError(errors.InputError):
  """Folders that say nothing about classes, or say two things."""


class Part(NamedTuple):
  """Of one split."""

  source: sources.ImageSource
  label_file: str | None  # None: see `labels_of`.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
  """What is there, in words, too; `class_names` are None if they are numbers.

  Of several splits `train` comes first, then `validation`, then `test`.
  """

  kind: str
  parts: Mapping[str, Part]
  class_names: tuple[str, ...] | None = None


class _Inside(NamedTuple):
  """What is directly in a folder, without what is hidden."""

  folders: Sequence[str]  # As classes are sorted.
  metadata: Sequence[str]
  images: Sequence[str]  # The first few.


def look(path: str) -> Layout:
  """Returns what a folder or a tar holds, by the names at its top.

  A metadata file; or folders of splits, each with class folders or a metadata
  file; or class folders; or official images. LayoutError says why it is none of
  these, or might be two.
  """
  source = sources.open_source(path)
  inside = _look_into(source)
  found = {
    split: [name for name in inside.folders if name.lower() in names]
    for split, names in _SPLITS.items()
  }
  found = {split: names for split, names in found.items() if names}
  in_splits = [*itertools.chain.from_iterable(found.values())]
  if inside.metadata and found:
    raise LayoutError(
      f'{path}: {errors.some(inside.metadata)} beside folders of splits, '
      f'{errors.some(in_splits)}: one split, or several. Put a metadata file '
      'into each folder; or, for one split, say it in the config: "label_file"'
    )
  if not found:
    part, classes = _part(source, inside)
    is_official = part.label_file is None and not classes
    split = 'validation' if is_official else 'train'
    kind = f'{_kind(part, classes)}, so one split'
    return Layout(kind=kind, parts={split: part}, class_names=classes)
  others = [name for name in inside.folders if name not in in_splits]
  for names in found.values():
    others += names[1:]
  if others:
    raise LayoutError(
      f'{path}: {errors.some(in_splits)} look like splits, but '
      f'{errors.some(others)} does not fit: all may be classes, or all but it '
      f'splits. {_WRITE}'
    )
  return _look_at_splits(source, {s: names[0] for s, names in found.items()})


def _look_at_splits(
  source: sources.ImageSource, folders: Mapping[str, str]
) -> Layout:
  parts: dict[str, Part] = {}
  class_names: tuple[str, ...] | None = None
  kinds = []
  for split, folder in folders.items():
    below = source.below(folder)
    inside = _look_into(below)
    if split == 'test' and parts and not (inside.folders or inside.metadata):
      what = f'{below.path}: the images of {folder} have no labels'
      warnings.warn(f'{what}, so this split is left out', stacklevel=2)
      continue
    part, classes = _part(below, inside)
    if parts and classes and (unknown := {*classes} - {*(class_names or ())}):
      first = next(iter(parts))
      raise LayoutError(
        f'{below.path}: {errors.some(sorted(unknown))} are classes that '
        f'{first} does not have; remove them, or put images of them in {first}'
      )
    if not parts:
      class_names = classes
    is_official = not (classes or part.label_file)
    if is_official and {*(class_names or ())} <= {*imagenet.wnids()}:
      class_names = imagenet.wnids()  # By which their true labels count.
    parts[split] = part
    kinds.append(f'{split} from {folder}/, {_kind(part, classes)}')
  return Layout(kind='; '.join(kinds), parts=parts, class_names=class_names)


def _part(
  source: sources.ImageSource, inside: _Inside
) -> tuple[Part, tuple[str, ...] | None]:
  """Returns where a split's images and labels are, and its classes' names."""
  path = source.path
  if len(inside.metadata) > 1:
    what = f'there are {" and ".join(inside.metadata)}'
    raise LayoutError(f'{path}: {what}; keep one of them')
  if inside.metadata:
    if not os.path.isdir(path):
      what = f'{inside.metadata[0]} is in a tar; unpack it and name it'
      raise LayoutError(f'{path}: {what}: "label_file"')
    label_file = os.path.join(path, inside.metadata[0])
    labels = discovery.read_labels(label_file)
    return Part(source, label_file), labels.class_names
  if inside.folders and not _is_official(source, inside.folders[0]):
    deep = _look_into(source.below(inside.folders[0]))
    if len(inside.folders) == 1 and deep.folders and not deep.images:
      below = source.below(inside.folders[0]).path
      raise LayoutError(
        f'{path}: one folder, {inside.folders[0]!r}, with more folders in it: '
        f'one class, or classes below it. For these say "image_dir": "{below}"'
      )
    return Part(source, None), tuple(inside.folders)
  if inside.folders or any(map(imagenet.is_official, inside.images)):
    return Part(source, None), None
  raise LayoutError(
    f'{path}: no label file was given, there is no folder for each class, no '
    f'{" or ".join(_METADATA)}, and these are not the images of ImageNet; say '
    'label_file in the config: one "NAME LABEL" a line'
  )


def _is_official(source: sources.ImageSource, folder: str) -> bool:
  images = _look_into(source.below(folder)).images
  return any(map(imagenet.is_official, images))


def _kind(part: Part, classes: Sequence[str] | None) -> str:
  if part.label_file:
    return f'labels from {os.path.basename(part.label_file)}'
  return f'{len(classes):,} class folders' if classes else 'official images'


def _look_into(source: sources.ImageSource) -> _Inside:
  folders, metadata = set(), set()
  images: list[str] = []
  for name, is_folder in source.children():
    if name.startswith('.') or name == '__MACOSX':
      continue
    if is_folder:
      folders.add(name)
    elif name in _METADATA:
      metadata.add(name)
    elif name.lower().endswith(_IMAGES):
      images = [*images, name][:_KEPT]
  in_order = labels_lib.sort_classes(folders)
  return _Inside(in_order, sorted(metadata), images)


def labels_of(
  source: sources.ImageSource, class_names: Sequence[str] | None = None
) -> labels_lib.Labels:
  """Returns the true labels of official images, else those of class folders.

  A class is a folder, with all that is below it, as for torchvision. Images
  stand class by class, and in a class by folder and name. LayoutError names the
  folders without an image, and those that are none of `class_names`.
  """
  inside = _look_into(source)
  if not inside.folders or _is_official(source, inside.folders[0]):
    return imagenet.true_label_file()
  of_class: dict[str, list[str]] = {name: [] for name in inside.folders}
  for entry in source.entries():
    folder, _, rest = entry.path.partition('/')
    hidden = rest.startswith('.') or '/.' in rest
    if folder in of_class and not hidden and rest.lower().endswith(_IMAGES):
      of_class[folder].append(entry.path)
  index = {name: i for i, name in enumerate(class_names or inside.folders)}
  wrong = [name for name in of_class if name not in index]
  if wrong:
    raise LayoutError(
      f'{source.path}: {errors.some(wrong)} is none of the class names, '
      f'{errors.some([*index])}'
    )
  if empty := [name for name, images in of_class.items() if not images]:
    raise LayoutError(
      f'{source.path}: no image for {len(empty):,} classes: '
      f'{errors.some(empty)}; remove their folders, or fill them'
    )
  names: list[str] = []
  labels, sha256 = array.array('i'), hashlib.sha256()
  for folder in sorted(of_class, key=index.__getitem__):
    images = of_class.pop(folder)
    images.sort(key=lambda path: path.rpartition('/')[::2])
    names += images
    labels.extend([index[folder]] * len(images))
    text = ''.join(f'{name} {index[folder]}\n' for name in images)
    sha256.update(text.encode('utf-8', 'surrogateescape'))
  return labels_lib.Labels(
    path=source.path,
    names=names,
    labels=labels,
    lines=(),
    sha256=sha256.hexdigest(),
    class_names=tuple(index),
  )
