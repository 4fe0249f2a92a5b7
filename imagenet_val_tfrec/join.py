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

from imagenet_val_tfrec import errors, jpeg, matching, sources
from imagenet_val_tfrec import labels as labels_lib

_CHUNK = 1 << 14


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
  labels: labels_lib.Labels,
  source: sources.ImageSource,
  *,
  limit: int = 0,
  max_pixels: int = jpeg.MAX_PIXELS,
) -> Examples:
  """Finds every labelled image in the source, by name.

  A file is the image of the label that is its path, or the end of its path:
  `a.jpg` is found as `a.jpg` or as `val/n01440764/a.jpg`. If several labels
  are, the longest one is meant; if several files are for one label, the one
  below the fewest folders is. Absolute paths and `..` are never matched.

  Args:
    labels: What to find.
    source: Where.
    limit: Only the first that many labels (0: all).
    max_pixels: Most pixels of an image. Its file may have a byte for each, or
      100 MB if that is more.

  Returns:
    Where each image is.

  Raises:
    JoinError: if an image is missing, is there twice, is no plain file, or is
      too large to be an image.
  """
  everything = len(labels)
  labels = labels.head(limit)
  matches = matching.Matches(labels, max(max_pixels, jpeg.MAX_PIXELS))
  left_out = matching.LeftOut()
  for entry in source.entries():
    if not matches.place(entry):
      left_out.add(entry)
  if problems := matches.problems(source.path, left_out.hint()):
    raise JoinError(problems)
  if len(labels) == everything and (warning := left_out.warning(labels.path)):
    warnings.warn(f'{source.path}: {warning}', stacklevel=2)
  return Examples(
    labels=labels,
    source=source,
    folders=list(matches.folders),
    folder_ids=matches.folder_ids,
    offsets=matches.offsets,
    sizes=matches.sizes,
    mtimes=matches.mtimes,
  )
