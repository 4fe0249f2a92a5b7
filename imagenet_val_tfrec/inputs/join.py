"""Labels × source → examples: every labelled image is found, by name.

Nothing is matched by position. An image that is missing, or is there twice, is
refused here, before a byte is written.
"""

from __future__ import annotations

import array
import dataclasses
import hashlib
import warnings
from collections.abc import Sequence
from typing import Any

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import entries, sources
from imagenet_val_tfrec.inputs import labels as labels_lib
from imagenet_val_tfrec.records import jpeg
from imagenet_val_tfrec.records import record as record_lib

_CHUNK = 1 << 14
_KEPT = 4  # Names for a message; one more than it shows.
_NOT_IMAGES = (
  *('.txt', '.csv', '.tsv', '.json', '.jsonl', '.md'),
  *('.tar', '.gz', '.zip'),
)


class JoinError(errors.InputError):
  """Labels and images do not fit together; all offenders are counted."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Examples:
  """Labelled images and where each one is; one slot of an array for each.

  They stand in the order that the examples will have. Each of `folders` holds
  labelled images and ends in `/` (or is ''); `folder_ids` are indices of it.
  The other arrays hold what `entries.Entry` says of each image, and
  `source_state` is `sources.ImageSource.state`. `with_names` says whether
  records hold the names.
  """

  labels: labels_lib.Labels
  source: sources.ImageSource
  source_state: int
  folders: Sequence[str]
  folder_ids: Sequence[int]
  offsets: Sequence[int]
  sizes: Sequence[int]
  mtimes: Sequence[int]
  with_names: bool = False

  def __len__(self) -> int:
    return len(self.labels)

  def part(self, start: int, stop: int) -> Examples:
    """Returns those of a range, with no other folders than theirs."""
    part = slice(start, stop)
    ids = {i: n for n, i in enumerate(dict.fromkeys(self.folder_ids[part]))}
    return dataclasses.replace(
      self,
      labels=self.labels.part(start, stop),
      folders=[self.folders[i] for i in ids],
      folder_ids=array.array('i', map(ids.__getitem__, self.folder_ids[part])),
      offsets=self.offsets[part],
      sizes=self.sizes[part],
      mtimes=self.mtimes[part],
    )

  def entry(self, index: int) -> entries.Entry:
    """Returns where an image is."""
    return entries.Entry(
      self.folders[self.folder_ids[index]] + self.labels.names[index],
      self.offsets[index],
      self.sizes[index],
      self.mtimes[index],
    )

  def where(self, index: int) -> str:
    """Returns how a message names an image: `path:line: 'name'`."""
    path = errors.quoted(self.entry(index).path)
    return f'{self.labels.where(index)}: {path}'

  def file_name(self, index: int) -> bytes:
    """Returns the name as in the labels, for the record; b'' if not wanted."""
    name = self.labels.names[index] if self.with_names else ''
    return name.encode('utf-8', 'surrogateescape')

  def overhead(self) -> int:
    """Returns how many bytes a record takes beside its image, at most."""
    overhead = record_lib.MAX_OVERHEAD
    if self.with_names:
      longest = max(len(self.file_name(i)) for i in range(len(self)))
      overhead += record_lib.FIELD_OVERHEAD + longest
    if isinstance(self.labels.labels, record_lib.Lists):
      most = max(map(len, self.labels.labels)) * record_lib.LABEL_BYTES
      overhead += record_lib.FIELD_OVERHEAD + most
    return overhead

  def image_bytes(self) -> int:
    """Returns the bytes of all images together."""
    return sum(self.sizes)

  def fingerprint(self) -> str:
    """Returns hex digits that differ from those of any other input.

    Names, labels, sizes and their order count, the place does not: a tar and a
    folder of the same images have one fingerprint.
    """
    sha256 = hashlib.sha256(b'with names' * self.with_names)
    labels: Any = self.labels.labels
    if isinstance(labels, record_lib.Lists):
      sha256.update(
        b'with lists' + array.array('q', map(len, labels)).tobytes()
      )
    for start in range(0, len(self), _CHUNK):
      part = slice(start, start + _CHUNK)
      for numbers in (labels[part], self.sizes[part]):
        flat = getattr(numbers, 'numbers', numbers)
        sha256.update(array.array('q', flat).tobytes())
      names = '\n'.join(self.labels.names[part])
      sha256.update(names.encode('utf-8', 'surrogateescape'))
    return sha256.hexdigest()


def locate(
  labels: labels_lib.Labels,
  source: sources.ImageSource,
  *,
  limit: int = 0,
  max_pixels: int = jpeg.MAX_PIXELS,
  all_are_named: bool = True,
) -> Examples:
  """Finds every labelled image in the source, by name.

  A file is the image of the label that is its path, or the end of its path:
  `a.jpg` is found as `a.jpg` or as `val/n01440764/a.jpg`. If several labels
  match, the longest one counts; if several files match one label, the one below
  the fewest folders. Absolute paths and `..` are never matched.
  Only the first `limit` labels are looked for (0: all). If all images should be
  named, a warning counts those that are not. Raises JoinError if an
  image is missing, is there twice, is no plain file, or has more bytes than
  `max_pixels` and than 100 MB.
  """
  if limit < 0:
    raise JoinError(f'{limit:,} examples are asked for, expected 0 or more')
  everything = len(labels)
  labels = labels.part(0, limit or everything)
  matches = _Matches(labels, max(max_pixels, jpeg.MAX_PIXELS))
  left_out = _LeftOut()
  of_entries = 0
  for entry in source.entries():
    of_entries += entry.state()
    if not matches.place(entry):
      left_out.add(entry)
  if problems := matches.problems(source.path, left_out.hint()):
    raise JoinError(problems)
  all_are_named = all_are_named and len(labels) == everything
  if all_are_named and (warning := left_out.warning(labels.path)):
    warnings.warn(f'{source.path}: {warning}', stacklevel=2)
  return Examples(
    labels=labels,
    source=source,
    source_state=source.state(of_entries),
    folders=list(matches.folders),
    folder_ids=matches.folder_ids,
    offsets=matches.offsets,
    sizes=matches.sizes,
    mtimes=matches.mtimes,
  )


class _LeftOut:
  """Counts the images of a source that no label names."""

  def __init__(self) -> None:
    self._images = self._apple = 0
    self._names: list[str] = []  # The first few images.
    self._closed: list[str] = []  # The first few that cannot be looked into.

  def add(self, entry: entries.Entry) -> None:
    """Counts the entry if it is an image."""
    if entry.problem and entry.path.endswith('/'):
      where = '' if entry.path == '/' else f'{errors.quoted(entry.path)}, '
      self._closed = [*self._closed, f'{where}{entry.problem}'][:_KEPT]
      return
    name = entry.path.rpartition('/')[2]
    if name.startswith('._'):
      self._apple += 1
    elif not (entry.problem or name[:1] == '.' or name.endswith(_NOT_IMAGES)):
      self._images += 1
      self._names = [*self._names, entry.path][:_KEPT]

  def hint(self) -> str:
    """Says which images are there, for when others are missing."""
    hint = 'It has no images without a label.'
    if self._names:
      hint = f'Its images without a label: {errors.some(self._names)}.'
    return f'{hint} {self._unseen()}.' if self._closed else hint

  def warning(self, label_file: str) -> str:
    """Returns what to warn of, or ''."""
    found = []
    if self._images:
      found.append(
        f'{self._images:,} images are left out, as no line of {label_file} '
        f'names them: {errors.some(self._names)}'
      )
    if self._apple:
      found.append(f'{self._apple:,} files of macOS (._*) are ignored')
    if self._closed:
      found.append(self._unseen())
    return '; '.join(found)

  def _unseen(self) -> str:
    more = ['…'] if len(self._closed) == _KEPT else []
    return f'Not looked into: {"; ".join(self._closed[: _KEPT - 1] + more)}'


class _Matches:
  """Puts entries of a source into the slots of their labels."""

  def __init__(self, labels: labels_lib.Labels, max_bytes: int):
    size = len(labels)
    self._labels = labels
    self._max_bytes = max_bytes
    self._most_slashes = max(name.count('/') for name in labels.names)
    self._index: dict[str, int] = {}
    self._next = 0
    # Folders between the source and the label's name; -1: not found.
    self._depths = array.array('i', [-1]) * size
    self._unfit: dict[int, str] = {}
    self._doubles: dict[int, int] = {}
    self.folders: dict[str, int] = {}
    self.folder_ids = array.array('i', [0]) * size
    self.offsets = array.array('q', [0]) * size
    self.sizes = array.array('q', [0]) * size
    self.mtimes = array.array('q', [0]) * size

  def place(self, entry: entries.Entry) -> bool:
    """Puts the entry in its slot; False if no label names it."""
    slot, folder = self._find(entry.path)
    if slot < 0:
      return False
    depth, best = folder.count('/'), self._depths[slot]
    if 0 <= best < depth:
      return True
    folder_id = self.folders.setdefault(folder, len(self.folders))
    if depth == best:
      self._doubles[slot] = folder_id
      return True
    self._depths[slot] = depth
    self.folder_ids[slot] = folder_id
    self.offsets[slot] = entry.offset
    self.sizes[slot] = entry.size
    self.mtimes[slot] = entry.mtime_ns
    self._doubles.pop(slot, None)
    self._unfit.pop(slot, None)
    if entry.problem:
      self._unfit[slot] = f'{entry.problem}, expected a file'
    elif entry.size > self._max_bytes:  # Too much to hold in memory.
      self._unfit[slot] = (
        f'a file of {entry.size:,} bytes, expected at most '
        f'{self._max_bytes:,} (max_pixels raises it)'
      )
    return True

  def problems(self, source: str, hint: str) -> str:
    """Says which slots are empty or filled wrongly; '' if none is.

    The hint is for images that are missing.
    """
    where, folders = self._labels.where, list(self.folders)
    messages = []
    if -1 in self._depths:
      missing = (
        f'{where(slot)}: {errors.quoted(self._labels.names[slot])}'
        for slot, depth in enumerate(self._depths)
        if depth < 0
      )
      if any('\\' in name for name in self._labels.names):
        hint += ' Between folders "/" is expected, not a backslash.'
      what = f'labelled images are missing from {source}'
      messages.append(errors.offenders(what, missing, hint))
    bad = errors.Offenders()
    for slot in sorted({*self._doubles, *self._unfit}):
      name = self._labels.names[slot]
      path = errors.quoted(folders[self.folder_ids[slot]] + name)
      if slot in self._doubles:
        other = errors.quoted(folders[self._doubles[slot]] + name)
        what = f'{errors.quoted(name)} is there twice, as {path} and {other}'
      else:
        what = f'{path} is {self._unfit[slot]}'
      bad.add(f'{where(slot)}: {what}')
    if bad:
      what = f'labelled images cannot be used in {source}'
      messages.append(bad.message(what))
    return '\n'.join(messages)

  def _find(self, path: str) -> tuple[int, str]:
    """Returns the slot (-1: none) and the folder before the label's name."""
    if entries.leads_out(path) or entries.is_too_long(path):
      return -1, ''
    if not self._index:
      # While the source stands in the labels' order, no dict is needed.
      in_order = self._next < len(self._labels)
      if in_order and path == self._labels.names[self._next]:
        self._next += 1
        return self._next - 1, ''
      folder, slash, name = path.rpartition('/')
      in_order = in_order and not self._most_slashes
      if in_order and name == self._labels.names[self._next]:
        self._next += 1
        return self._next - 1, folder + slash
      self._index = {name: i for i, name in enumerate(self._labels.names)}
    # The longest name that fits is meant, so the fewest folders before it.
    parts = path.split('/')[-self._most_slashes - 1 :]
    for i in range(len(parts)):
      name = '/'.join(parts[i:])
      if name in self._index:
        return self._index[name], path.removesuffix(name)
    return -1, ''
