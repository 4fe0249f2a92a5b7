"""Labels × source → examples: every labelled image is found, by name.

Nothing is joined by position, and nothing is left open: an image that is
missing, or is there twice, is refused here, before a byte is written.
"""

from __future__ import annotations

import array
import dataclasses
import hashlib
import warnings
from collections.abc import Sequence

from imagenet_val_tfrec import errors, sources
from imagenet_val_tfrec import labels as labels_lib

_CHUNK = 1 << 14
_NOT_IMAGES = ('.txt', '.csv', '.tsv', '.json', '.md', '.tar')


class JoinError(errors.InputError):
  """Labels and images do not fit together; all offenders are counted."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
  """Labelled images and where each one is; one slot of an array for each.

  Attributes:
    labels: Names, labels and lines, in the order that the examples will have.
    source: Where the images are.
    folders: Folders of the source that hold labelled images, each ending in
      `/` (or '').
    folder_ids: Index in `folders`, for each image.
    offsets: Of the first byte, for each image (0 in a folder).
    sizes: In bytes, for each image.
    mtimes: In nanoseconds, for each image.
  """

  labels: labels_lib.Labels
  source: sources.ImageSource
  folders: Sequence[str]
  folder_ids: Sequence[int]
  offsets: Sequence[int]
  sizes: Sequence[int]
  mtimes: Sequence[int]

  def __len__(self) -> int:
    return len(self.labels)

  def image_bytes(self) -> int:
    """Returns the bytes of all images together."""
    return sum(self.sizes)

  def fingerprint(self) -> str:
    """Returns what tells this input from any other, as hex digits.

    It speaks of names, labels, sizes and their order, not of the place: a tar
    and a folder of the same images have one fingerprint.
    """
    sha256 = hashlib.sha256()
    for start in range(0, len(self), _CHUNK):
      part = slice(start, start + _CHUNK)
      for numbers in (self.labels.labels[part], self.sizes[part]):
        sha256.update(array.array('q', numbers).tobytes())
      names = '\n'.join(self.labels.names[part])
      sha256.update(names.encode('utf-8', 'surrogateescape'))
    return sha256.hexdigest()


def locate(
  labels: labels_lib.Labels, source: sources.ImageSource, *, limit: int = 0
) -> Examples:
  """Finds every labelled image in the source, by name.

  A name is looked for as a path in the source, then below any folder of it:
  `a.jpg` is found as `a.jpg` or `val/n01440764/a.jpg`, the nearest to the top
  first.

  Args:
    labels: What to find.
    source: Where.
    limit: Only the first that many labels (0: all).

  Returns:
    Where each image is.

  Raises:
    JoinError: if an image is missing, is there twice, or is no plain file.
  """
  everything = len(labels)
  labels = labels.head(limit)
  join = _Join(labels)
  left_out: list[str] = []
  num_left_out = 0
  for entry in source.entries():
    if not join.place(entry) and _looks_like_image(entry):
      num_left_out += 1
      if len(left_out) < 4:
        left_out.append(entry.path)
  join.check(source, left_out)
  if num_left_out and len(labels) == everything:
    warnings.warn(
      f'{source.path}: {num_left_out:,} images are left out, as no line of '
      f'{labels.path} names them: {errors.some(left_out)}',
      stacklevel=2,
    )
  return Examples(
    labels=labels,
    source=source,
    folders=list(join.folders),
    folder_ids=join.folder_ids,
    offsets=join.offsets,
    sizes=join.sizes,
    mtimes=join.mtimes,
  )


def _looks_like_image(entry: sources.Entry) -> bool:
  name = entry.path.rpartition('/')[2]
  return not (
    entry.problem or name.startswith('.') or name.endswith(_NOT_IMAGES)
  )


class _Join:
  """Puts entries of a source into the slots of their labels."""

  def __init__(self, labels: labels_lib.Labels):
    size = len(labels)
    self._labels = labels
    self._nested = any('/' in name for name in labels.names)
    self._index: dict[str, int] = {}
    self._next = 0
    self._depths = array.array('h', [-1]) * size
    self._problems: list[str] = []
    self.folders: dict[str, int] = {}
    self.folder_ids = array.array('i', [0]) * size
    self.offsets = array.array('q', [0]) * size
    self.sizes = array.array('q', [0]) * size
    self.mtimes = array.array('q', [0]) * size

  def place(self, entry: sources.Entry) -> bool:
    """Puts the entry in its slot; False if no label names it."""
    slot, folder = self._find(entry.path)
    if slot < 0:
      return False
    depth = folder.count('/')
    if self._depths[slot] == depth:
      other = list(self.folders)[self.folder_ids[slot]] + self._name(slot)
      self._problems.append(
        f'{self._labels.where(slot)}: {self._name(slot)!r} is there twice, as '
        f'{other!r} and {entry.path!r}'
      )
    elif self._depths[slot] < 0 or depth < self._depths[slot]:
      if entry.problem:
        self._problems.append(
          f'{self._labels.where(slot)}: {entry.path!r} is {entry.problem}, '
          'expected a file'
        )
      self._depths[slot] = depth
      self.folder_ids[slot] = self.folders.setdefault(folder, len(self.folders))
      self.offsets[slot] = entry.offset
      self.sizes[slot] = entry.size
      self.mtimes[slot] = entry.mtime_ns
    return True

  def check(self, source: sources.ImageSource, left_out: Sequence[str]) -> None:
    """Raises JoinError if a slot is empty or was filled wrongly."""
    missing = [
      f'{self._labels.where(i)}: {self._name(i)!r}'
      for i, depth in enumerate(self._depths)
      if depth < 0
    ]
    if missing:
      hint = (
        f'Its files without a label: {errors.some(left_out)}.'
        if left_out
        else 'It has no files without a label.'
      )
      raise JoinError(
        errors.offenders(
          f'labelled images are missing from {source.path}', missing, hint
        )
      )
    if self._problems:
      raise JoinError(
        errors.offenders(
          f'labelled images cannot be used in {source.path}', self._problems
        )
      )

  def _name(self, slot: int) -> str:
    return self._labels.names[slot]

  def _find(self, path: str) -> tuple[int, str]:
    """Returns the slot (-1: none) and the folder before the label's name."""
    if not self._index:
      # While the source stands in the labels' order, no dict is needed.
      folder, slash, name = path.rpartition('/')
      if (
        not self._nested
        and self._next < len(self._labels)
        and name == self._name(self._next)
      ):
        self._next += 1
        return self._next - 1, folder + slash
      self._index = {name: i for i, name in enumerate(self._labels.names)}
    start = 0
    while True:
      slot = self._index.get(path[start:] if start else path, -1)
      if slot >= 0:
        return slot, path[:start]
      start = path.find('/', start) + 1
      if not start:
        return -1, ''
