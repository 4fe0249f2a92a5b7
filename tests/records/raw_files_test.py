"""The older files in a folder: in numeric order, or not at all."""

from __future__ import annotations

import re

import pytest

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.records import raw_files


def _touch(folder, names):
  for name in names:
    (folder / name).touch()
  return folder


def test_shards_are_in_numeric_order(tmp_path):
  numbers = [10, 2, 0, 11, 1, 9, 8, 7, 6, 5, 4, 3]
  _touch(tmp_path, [f'data_{number}.tfrecord' for number in numbers])
  _touch(tmp_path, ['README.md', 'data_12.tfrecord.part'])
  assert raw_files.legacy_shards(tmp_path) == [
    str(tmp_path / f'data_{number}.tfrecord') for number in range(12)
  ]


@pytest.mark.parametrize(
  ('names', 'error', 'message'),
  [
    ([], FileNotFoundError, 'expected NAME_0.tfrecord and so on'),
    (['val.txt'], FileNotFoundError, 'no file *.tfrecord'),
    (
      ['data_0.tfrecord', 'data_2.tfrecord', 'data_4.tfrecord'],
      errors.InputError,
      "2 files are missing: 'data_1.tfrecord', 'data_3.tfrecord'; the last one "
      "there is 'data_4.tfrecord'",
    ),
    (
      ['data_1.tfrecord'],
      errors.InputError,
      "1 files are missing: 'data_0.tfrecord'",
    ),
    (
      ['data_0.tfrecord', 'data_20240101.tfrecord'],
      errors.InputError,
      "'data_20240101.tfrecord' is one of 2 files; expected them to be numb",
    ),
    (
      ['a_0.tfrecord', 'b_0.tfrecord'],
      errors.InputError,
      "files of 2 data sets: 'a', 'b'",
    ),
    (
      ['data_0.tfrecord', 'data.tfrecord', 'data_01.tfrecord'],
      errors.InputError,
      "2 files have no number: 'data.tfrecord', 'data_01.tfrecord'",
    ),
  ],
)
def test_what_is_no_series_is_refused(tmp_path, names, error, message):
  _touch(tmp_path, names)
  with pytest.raises(error, match=re.escape(message)) as raised:
    raw_files.legacy_shards(tmp_path)
  assert str(tmp_path) in str(raised.value)


def test_a_missing_folder_is_named(tmp_path):
  with pytest.raises(FileNotFoundError, match=r'no folder .*nowhere'):
    raw_files.legacy_shards(tmp_path / 'nowhere')
