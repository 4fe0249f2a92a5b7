"""What should be in a folder of records: by TFDS's metadata, or by names."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.records import metadata, outputs, raw_files, sums
from imagenet_val_tfrec.verify.check_records import Finding

_WITH_CLASS_NAMES = 'imagenet2012'  # Our config that always has them.
_FIELDS = {'height', 'width', 'chans', 'image'}
_T = TypeVar('_T')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expected:
  """What should be in a folder; older files are one split."""

  folder: str
  splits: Sequence[metadata.Split] = ()
  of_tfds: bool = False
  num_classes: int | None = None  # Labels must be below this, if it is known.
  several: bool = False  # Whether an image has a list of labels.
  with_names: bool = False  # Whether a record has the name of its file.
  problems: Sequence[Finding] = ()  # With other files than those of the splits.


def of_folder(folder: str, known: Mapping[str, str]) -> Expected:
  """Finds out what a version folder of TFDS, or of older files, should hold.

  `known` is what `SHA256SUMS` says; it may be empty. Raises InputError if it is
  neither, or a dataset of another kind; FileNotFoundError if nothing is there.
  """
  if metadata.INFO in known or storage.exists(
    os.path.join(folder, metadata.INFO)
  ):
    return _of_dataset(folder, known)
  try:
    names = raw_files.series(folder)
  except FileNotFoundError as e:
    raise FileNotFoundError(
      f'{e}; or a version folder of TFDS, with {metadata.INFO} in it, such as '
      'DATA_DIR/imagenet_val_tfrec/imagenet2012/1.0.0'
    ) from e
  paths = [os.path.join(folder, name) for name in names]
  return Expected(folder=folder, splits=[metadata.Split(paths)])


def _of_dataset(folder: str, known: Mapping[str, str]) -> Expected:
  problems: list[Finding] = []

  def tell(path: str, what: str) -> None:
    problems.append(Finding(path, f'{what}. Copy or build it again'))

  def read(reader: Callable[[str], _T]) -> _T | None:
    """Returns None if the file is damaged; raises if it is of another kind."""
    try:
      return reader(folder)
    except errors.FileError as e:
      digest = known.get(os.path.basename(e.path))
      if isinstance(e, _OtherKindError) and digest in (
        None,
        sums.of_file(e.path),
      ):
        raise
      tell(e.path, e.what)
      return None

  classes = read(_read_classes)
  info = read(_read_info)
  names = storage.names_in(folder)
  paths = [
    os.path.join(folder, name)
    for name in names
    if raw_files.is_record_file(name)
  ]
  if info:
    ours = {path for split in info.splits for path in split.paths}
    for path in paths:
      if path not in ours:
        tell(path, 'not a file of this dataset')
    if info.config == _WITH_CLASS_NAMES and metadata.CLASS_NAMES not in names:
      path = os.path.join(folder, metadata.CLASS_NAMES)
      tell(path, 'the file is missing, the names of the classes')
  unknown = None, bool(info and info.has_lists), False
  num_classes, several, with_names = classes or unknown
  for problem in metadata.problems(folder, num_classes):
    tell(problem.path, problem.what)
  return Expected(
    folder=folder,
    # If nothing says what should be there, what is there is read.
    splits=info.splits if info else [metadata.Split(paths)],
    of_tfds=True,
    num_classes=num_classes,
    several=several,
    with_names=with_names,
    problems=problems,
  )


class _OtherKindError(errors.FileError):
  """A file is sound, but of a dataset that is of another kind."""


def _read_classes(folder: str) -> tuple[int | None, bool, bool]:
  """Returns how many there are, and whether an image has a list of them.

  And whether it has a name.
  """
  names, num_classes = metadata.read_features(folder)
  several = metadata.has_lists(names)
  if not _FIELDS.issubset(names) or not (several or 'label' in names):
    raise _OtherKindError(
      os.path.join(folder, metadata.FEATURES),
      f'a dataset of other features: {errors.some(sorted(names))}; expected '
      f'{", ".join(sorted(_FIELDS))}, label',
    )
  return num_classes, several, 'file_name' in names


def _read_info(folder: str) -> metadata.Info:
  info = metadata.read_info(folder)
  if info.file_format not in outputs.FILE_FORMATS:
    raise _OtherKindError(
      os.path.join(folder, metadata.INFO),
      f'a dataset of format {info.file_format!r}, expected one of '
      f'{", ".join(map(repr, outputs.FILE_FORMATS))}',
    )
  return info
