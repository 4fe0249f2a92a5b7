"""What should be in a folder of records: by TFDS's metadata, or by the names.

TFDS's files are read as they are, without TensorFlow or a builder.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imagenet_val_tfrec.core import errors, small_files, storage
from imagenet_val_tfrec.records import raw_files

_INFO = 'dataset_info.json'
_FEATURES = 'features.json'
_METADATA = 'metadata.json'
_CLASS_NAMES = 'label.labels.txt'
_WITH_CLASS_NAMES = 'imagenet2012'  # Our config that always has them.
_FIELDS = {'label', 'height', 'width', 'chans', 'image'}
_TEMPLATE = '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
  """Files that go together.

  Attributes:
    folder: Of the files.
    paths: Of the files that should be there, in the order of their records.
    lengths: How many records each of them should have; None if that is not
      known, for older files.
    num_bytes: What TFDS says: the size of the files, or, where it wrote them
      itself, of the payloads in them; None if that is not known.
  """

  folder: str
  paths: Sequence[str]
  lengths: Sequence[int] | None = None
  num_bytes: int | None = None

  @property
  def of_tfds(self) -> bool:
    """Whether TFDS says so, and not only the names of the files."""
    return self.lengths is not None


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
  problems: Sequence[str] = ()


def of_folder(folder: str) -> Expected:
  """Finds out what a folder should hold.

  Args:
    folder: A version folder of TFDS, or one of older raw files.

  Raises:
    errors.InputError: if it is neither, or the metadata cannot be used.
    FileNotFoundError: if there is nothing.
  """
  if storage.exists(os.path.join(folder, _INFO)):
    return _of_dataset(folder)
  try:
    names = raw_files.series(folder)
  except FileNotFoundError as e:
    raise FileNotFoundError(
      f'{e}; or a version folder of TFDS, with {_INFO} in it, such as '
      'DATA_DIR/imagenet_val_tfrec/imagenet2012/1.0.0'
    ) from e
  paths = [os.path.join(folder, name) for name in names]
  return Expected(folder=folder, splits=[Split(folder=folder, paths=paths)])


def _of_dataset(folder: str) -> Expected:
  try:
    info = small_files.read_json(os.path.join(folder, _INFO))
    features = small_files.read_json(os.path.join(folder, _FEATURES))
    fields = features['featuresDict']['features']
    if not fields.keys() >= _FIELDS:
      raise errors.InputError(
        f'{folder}: a dataset of other features: {errors.some(sorted(fields))};'
        f' expected {", ".join(sorted(_FIELDS))}'
      )
    num_classes = int(fields['label']['classLabel']['numClasses'])
    file_format = info.get('fileFormat', 'tfrecord')
    splits = [_split(folder, info, split) for split in info['splits']]
  except (KeyError, TypeError, ValueError, AttributeError) as e:
    if isinstance(e, errors.InputError):
      raise
    raise errors.InputError(
      f'{folder}: {_INFO} or {_FEATURES} is not as TFDS writes it '
      f'({type(e).__name__}: {e}). Copy it again'
    ) from e
  if file_format != 'tfrecord':
    raise errors.InputError(
      f"{folder}: is of format {file_format!r}, expected 'tfrecord'"
    )
  expected = {path for split in splits for path in split.paths}
  return Expected(
    folder=folder,
    splits=splits,
    num_classes=num_classes,
    problems=[
      *(
        f'{errors.quoted(name)} is not a file of this dataset'
        for name in storage.names_in(folder)
        if '.tfrecord' in name and os.path.join(folder, name) not in expected
      ),
      *_metadata_problems(folder, info, num_classes),
    ],
  )


def _metadata_problems(
  folder: str, info: Mapping[str, Any], num_classes: int
) -> Iterator[str]:
  """Yields what is wrong with the files that are not needed to read records."""
  names = os.path.join(folder, _CLASS_NAMES)
  if storage.exists(names):
    number = len(small_files.read_text(names).splitlines())
    if number != num_classes:
      yield f'{_CLASS_NAMES!r} has {number:,} names, expected {num_classes:,}'
  elif info.get('configName') == _WITH_CLASS_NAMES:
    yield f'{_CLASS_NAMES!r} is missing, the names of the classes'
  if storage.exists(os.path.join(folder, _METADATA)):
    try:
      small_files.read_json(os.path.join(folder, _METADATA))
    except errors.InputError:
      yield f'{_METADATA!r} is damaged, it is not JSON'


def _split(
  folder: str, info: Mapping[str, Any], split: Mapping[str, Any]
) -> Split:
  lengths = [int(length) for length in split['shardLengths']]
  names = [
    split.get('filepathTemplate', _TEMPLATE).format(
      DATASET=info['name'],
      SPLIT=split['name'],
      FILEFORMAT='tfrecord',
      SHARD_INDEX=f'{i:05}',
      NUM_SHARDS=f'{len(lengths):05}',
      SHARD_X_OF_Y=f'{i:05}-of-{len(lengths):05}',
    )
    for i in range(len(lengths))
  ]
  return Split(
    folder=folder,
    paths=[os.path.join(folder, name) for name in names],
    lengths=lengths,
    num_bytes=int(split['numBytes']),
  )
