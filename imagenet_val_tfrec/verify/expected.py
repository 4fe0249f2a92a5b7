"""What should be in a folder of records: by TFDS's metadata, or by names."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.records import metadata, outputs, raw_files, sums
from imagenet_val_tfrec.verify import check_records

_WITH_CLASS_NAMES = 'imagenet2012'  # Our config that always has them.
_FIELDS = {'label', 'height', 'width', 'chans', 'image'}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
  """Files that go together.

  Attributes:
    folder: Of the files.
    paths: Of the files that should be there, in the order of their records.
    of_tfds: Whether they are of a dataset of TFDS, and not older files.
    lengths: How many records each of them should have; None if that is not
      known.
    num_bytes: What TFDS says: the size of the files, or, where it wrote them
      itself, of the payloads in them; None if that is not known, or does not
      tell of damage, as in array_record.
  """

  folder: str
  paths: Sequence[str]
  of_tfds: bool = False
  lengths: Sequence[int] | None = None
  num_bytes: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Expected:
  """What should be in a folder.

  Attributes:
    folder: Of the files.
    splits: What it holds; older files are one split.
    num_classes: Labels must be below this; None if that is not known.
    problems: What is wrong with other files than those of the splits.
  """

  folder: str
  splits: Sequence[Split]
  num_classes: int | None = None
  problems: Sequence[check_records.Finding] = ()


def of_folder(folder: str, known: Mapping[str, str]) -> Expected:
  """Finds out what a folder should hold.

  Args:
    folder: A version folder of TFDS, or one of older raw files.
    known: What `SHA256SUMS` says; may be empty.

  Raises:
    errors.InputError: if it is neither, or a dataset of another kind.
    FileNotFoundError: if there is nothing.
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
  return Expected(folder=folder, splits=[Split(folder=folder, paths=paths)])


def _of_dataset(folder: str, known: Mapping[str, str]) -> Expected:
  problems = []
  num_classes = info = None
  try:
    num_classes = metadata.num_classes(_read_features(folder))
  except errors.FileError as e:
    problems.append(_finding(_damage(e, known)))
  try:
    info = _read_info(folder)
  except errors.FileError as e:
    problems.append(_finding(_damage(e, known)))
  names = storage.names_in(folder)
  there = [name for name in names if raw_files.is_record_file(name)]
  if info:
    expected = {name for split in info.splits for name in split.filenames}
    problems += [
      _finding(
        errors.FileError(
          os.path.join(folder, name), 'not a file of this dataset'
        )
      )
      for name in there
      if name not in expected
    ]
    if info.config == _WITH_CLASS_NAMES and metadata.CLASS_NAMES not in names:
      path = os.path.join(folder, metadata.CLASS_NAMES)
      problems.append(
        _finding(
          errors.FileError(
            path, 'the file is missing, the names of the classes'
          )
        )
      )
  problems += map(_finding, metadata.problems(folder, num_classes))
  if info:
    is_framed = info.file_format == 'tfrecord'
    splits = [
      _of_tfds(
        folder,
        split.filenames,
        split.lengths,
        split.num_bytes if is_framed else None,
      )
      for split in info.splits
    ]
  else:  # Nothing says what should be there, so what is there is read.
    splits = [_of_tfds(folder, there)]
  return Expected(
    folder=folder,
    splits=splits,
    num_classes=num_classes,
    problems=problems,
  )


def _of_tfds(
  folder: str,
  filenames: Sequence[str],
  lengths: Sequence[int] | None = None,
  num_bytes: int | None = None,
) -> Split:
  return Split(
    folder=folder,
    paths=[os.path.join(folder, name) for name in filenames],
    of_tfds=True,
    lengths=lengths,
    num_bytes=num_bytes,
  )


def _finding(error: errors.FileError) -> check_records.Finding:
  # The error itself would keep alive all that was read of the file.
  return check_records.Finding(
    error.path, f'{error.what}. Copy or build it again'
  )


class _OtherKindError(errors.FileError):
  """A file is sound, but of a dataset that is of another kind."""


def _damage(
  error: errors.FileError, known: Mapping[str, str]
) -> errors.FileError:
  """Returns the error if the file is damaged; raises it if it is of others."""
  digest = known.get(os.path.basename(error.path))
  if isinstance(error, _OtherKindError) and digest in (
    None,
    sums.of_file(error.path),
  ):
    raise error
  return error


def _read_features(folder: str) -> dict[str, Any]:
  features = metadata.read_features(folder)
  if not features.keys() >= _FIELDS:
    raise _OtherKindError(
      os.path.join(folder, metadata.FEATURES),
      f'a dataset of other features: {errors.some(sorted(features))}; expected '
      f'{", ".join(sorted(_FIELDS))}',
    )
  return features


def _read_info(folder: str) -> metadata.Info:
  info = metadata.read_info(folder)
  if info.file_format not in outputs.FILE_FORMATS:
    raise _OtherKindError(
      os.path.join(folder, metadata.INFO),
      f'a dataset of format {info.file_format!r}, expected one of '
      f'{", ".join(map(repr, outputs.FILE_FORMATS))}',
    )
  return info
