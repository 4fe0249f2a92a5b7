"""The metadata of a TFDS dataset, read bounded and distrusted.

TFDS itself reads these files whole, whatever they are, and imports each module
that `features.json` names. So `check` comes before TFDS is shown a folder.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from google.protobuf import json_format
from tensorflow_datasets.core import file_adapters
from tensorflow_datasets.core.proto import dataset_info_pb2, feature_pb2

from imagenet_val_tfrec.core import errors, small_files, storage

INFO = 'dataset_info.json'
FEATURES = 'features.json'
METADATA = 'metadata.json'
# Of the feature `label`, or of `labels`.
CLASS_NAMES = 'label.labels.txt'
_CLASS_NAMES = (CLASS_NAMES, 'labels.labels.txt')
SMALL_FILES = (INFO, FEATURES, METADATA, *_CLASS_NAMES)

_MOST_BYTES = 4 << 20
_MOST_SHARDS = 99_999
_LONGEST_NAME = 255
# As TFDS takes them: `core/naming.py`.
_NAME = re.compile(r'[\w\-]+')
_VERSION = re.compile(r'\d+\.\d+\.\d+')
_FORMAT = re.compile('|'.join(kind.value for kind in file_adapters.FileFormat))
_TEMPLATE = re.compile(
  r'([\w.\-]|\{(DATASET|SPLIT|FILEFORMAT|SHARD_INDEX|NUM_SHARDS|'
  r'SHARD_X_OF_Y)\})+'
)
_USUAL_TEMPLATE = '{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}'
_CLASS_KEYS = ('pythonClassName', 'python_class_name')
_CLASS = re.compile(
  r'tensorflow_datasets\.core\.features\.[\w.]+|'
  r'imagenet_val_tfrec\.dataset\.features\.Image'
)
_SCHEMA: small_files.Schema = {
  'adopted_from?': str,
  'decode_check?': bool,
  'duplicates?': int,
  'fingerprint?': str,
  'formats?': [str],
  'max_examples_per_split?': int,
  'max_pixels?': int,
  'shuffle_seeds?': dict,
  'splits?': [{'name': str, 'fingerprint?': str}],
}

_T = TypeVar('_T')


class Split(NamedTuple):
  """Files that go together, and what is known of them."""

  paths: Sequence[str]  # In the order of their records.
  lengths: Sequence[int] | None = None  # Records in each.
  # Of the files, or, where TFDS wrote them itself, of the payloads in them. Not
  # for array_record, where it does not tell of damage.
  num_bytes: int | None = None


class Info(NamedTuple):
  """What is used of `dataset_info.json`."""

  config: str
  file_format: str
  splits: list[Split]
  has_lists: bool = False  # As `has_lists` of the features.


def read_info(folder: str) -> Info:
  """Reads `dataset_info.json`; FileError if TFDS could not."""
  path = os.path.join(folder, INFO)
  _, info = _read_message(path, dataset_info_pb2.DatasetInfo())
  number = sum(len(split.shard_lengths) for split in info.splits)
  if not 0 < number <= _MOST_SHARDS:
    raise errors.FileError(
      path, f'{number:,} shards, expected 1 to {_MOST_SHARDS:,}'
    )
  _name(path, 'version', info.version, _VERSION)
  file_format = _name(
    path, 'fileFormat', info.file_format or 'tfrecord', _FORMAT
  )
  splits = [_split(path, info, split, file_format) for split in info.splits]
  paths = {path for split in splits for path in split.paths}
  names = {split.name for split in info.splits}
  if len(names) < len(splits) or len(paths) < number:
    raise errors.FileError(path, 'two splits or shards of one name')
  supervised = info.supervised_keys.tuple.items
  lists = any(key.feature_key == 'labels' for key in supervised)
  return Info(info.config_name, file_format, splits, lists)


def read_features(folder: str) -> tuple[Collection[str], int | None]:
  """Reads `features.json`; returns names, and the number of classes if known.

  Raises FileError if TFDS could not read it, or would import a module for it
  that is not its own.
  """
  path = os.path.join(folder, FEATURES)
  content, feature = _read_message(path, feature_pb2.Feature())
  features = dict(feature.features_dict.features)
  names = [each.python_class_name for each in (feature, *features.values())]
  for name in (*names, *_class_names(content)):
    if not _CLASS.fullmatch(name):
      raise errors.FileError(
        path, f'a feature of class {errors.quoted(name)}, which is not of TFDS'
      )
  label = features.get('label')
  if has_lists(features):
    label = features['labels'].sequence.feature
  num_classes = label.class_label.num_classes if label else 0
  if num_classes < 0:
    raise errors.FileError(path, f'{num_classes:,} classes')
  return features, num_classes or None


def has_lists(features: Collection[str]) -> bool:
  """Whether an image has a list of labels, by the names of the features."""
  return 'labels' in features and 'label' not in features


def is_shuffled(folder: str) -> bool:
  """Whether a split was put in a random order, as far as can be known."""
  path = os.path.join(folder, METADATA)
  try:
    said = _read(small_files.read_json, path, _SCHEMA, _MOST_BYTES)
  except errors.FileError:
    return False
  return 'shuffle_seeds' in said


def problems(folder: str, classes: int | None) -> Iterator[errors.FileError]:
  """Yields what is wrong with the small files that may be there.

  There should be names of that many classes, if that is known.
  """
  for name in storage.names_in(folder):
    path = os.path.join(folder, name)
    try:
      if name == METADATA:
        _read(small_files.read_json, path, _SCHEMA, _MOST_BYTES)
      elif name.endswith('.labels.txt'):
        _check_class_names(path, classes if name in _CLASS_NAMES else None)
    except errors.FileError as e:
      yield e


def check(folder: str) -> Info:
  """Checks all that TFDS would read of a dataset.

  Raises FileError if a file is missing or damaged.
  """
  info = read_info(folder)
  read_features(folder)
  for problem in problems(folder, None):  # TFDS takes any number of names.
    raise problem
  return info


def _split(path: str, info: Any, split: Any, file_format: str) -> Split:
  lengths = list(split.shard_lengths)
  if min([split.num_bytes, *lengths]) < 0:
    raise errors.FileError(path, 'a size or a number of records below 0')
  template = split.filepath_template or _USUAL_TEMPLATE
  _name(path, 'filepathTemplate', template, _TEMPLATE)
  number = f'{len(lengths):05}'
  names = [
    template.format(
      DATASET=_name(path, 'name', info.name),
      SPLIT=_name(path, 'name of a split', split.name),
      FILEFORMAT=file_format,
      SHARD_INDEX=f'{i:05}',
      NUM_SHARDS=number,
      SHARD_X_OF_Y=f'{i:05}-of-{number}',
    )
    for i in range(len(lengths))
  ]
  for name in names[:1]:
    if name.startswith('.') or len(name) > _LONGEST_NAME:
      raise errors.FileError(
        path, f'not the name of a file: {errors.quoted(name)}'
      )
  return Split(
    [os.path.join(os.path.dirname(path), name) for name in names],
    lengths,
    split.num_bytes if file_format == 'tfrecord' else None,
  )


def _name(
  path: str, what: str, value: str, pattern: re.Pattern[str] = _NAME
) -> str:
  """Returns the value; FileError if it is no such name."""
  if len(value) > _LONGEST_NAME or not pattern.fullmatch(value):
    raise errors.FileError(
      path, f'{what} is {errors.quoted(value)}, not as TFDS writes it'
    )
  return value


def _check_class_names(path: str, expected: int | None) -> None:
  text = _read(small_files.read_text, path, _MOST_BYTES)
  # As TFDS reads them.
  number = sum(1 for line in io.StringIO(text, newline='\n') if line.strip())
  if expected not in (None, number):
    raise errors.FileError(path, f'{number:,} names, expected {expected:,}')


def _read_message(path: str, message: Any) -> tuple[dict[str, Any], Any]:
  """Reads a JSON file as TFDS does; returns the content, and the message."""
  content = _read(small_files.read_json, path, {}, _MOST_BYTES)
  try:
    json_format.ParseDict(content, message)
  except (json_format.ParseError, ValueError, TypeError, AttributeError) as e:
    what = errors.quoted(str(e).partition('\n')[0])
    raise errors.FileError(path, f'not as TFDS writes it: {what}') from e
  return content, message


def _read(read: Callable[..., _T], path: str, *options: Any) -> _T:
  """Calls `read`; a file that cannot be read is a damaged one."""
  try:
    return read(path, *options)
  except OSError as e:
    raise errors.FileError(path, errors.unreadable(e)) from e


def _class_names(value: Any) -> Iterator[str]:
  """Yields the names of all classes in the content of `features.json`."""
  if isinstance(value, list):
    for item in value:
      yield from _class_names(item)
  elif isinstance(value, dict):
    for key, item in value.items():
      if key in _CLASS_KEYS:
        yield str(item)
      yield from _class_names(item)
