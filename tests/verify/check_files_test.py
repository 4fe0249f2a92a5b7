"""Files that are missing, cut between records, or in each other's place."""

import shutil

import making
import pytest
from damaging import SHARD, VAL, change, cut, edit_json, starts, swap, told

from imagenet_val_tfrec import images_to_tfrec, verify
from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.records import record as record_lib

NAMES = [line.split()[0] for line in (making.DUMMY / 'val.txt').open()]


def remove_first_three(folder):
  for number in range(3):
    (folder / f'data_{number}.tfrecord').unlink()


def make_folder(path):
  path.unlink()
  path.mkdir()


def longer_image(path):
  start, end = starts(path)[:2]
  image = record_lib.parse(path.read_bytes()[start + 12 : end - 4]).image
  change(path, 0, image=image + b'\0')


def number_of_bytes(folder, less: int):
  edit_json(
    folder / 'dataset_info.json',
    lambda info: info['splits'][0].update(
      numBytes=str(int(info['splits'][0]['numBytes']) - less)
    ),
  )


SHARD_1, SHARD_3 = SHARD.format(1), SHARD.format(3)

# What is done to a folder, and what is found, without and with a label file.
CASES = {
  'raw: nothing': (lambda f: None, [], []),
  'raw: no file': (
    lambda f: (f / 'data_1.tfrecord').unlink(),
    ['data_1.tfrecord: the file is missing'],
    ['data_1.tfrecord: the file is missing'],
  ),
  'raw: no last file': (
    lambda f: (f / 'data_3.tfrecord').unlink(),
    [],
    ['{f}: 6 records, expected 8 as in {val}'],
  ),
  'raw: only the last file': (
    remove_first_three,
    *[[f'data_{i}.tfrecord: the file is missing' for i in range(3)]] * 2,
  ),
  'raw: a folder, and an empty file': (
    lambda f: (
      make_folder(f / 'data_1.tfrecord'),
      cut(f / 'data_3.tfrecord', 0),
    ),
    *[
      [
        'data_1.tfrecord: the file cannot be read: {quoted}: a folder, '
        'expected a file',
        'data_3.tfrecord: an empty file, expected records',
      ]
    ]
    * 2,
  ),
  'raw: cut between records': (
    lambda f: cut(f / 'data_1.tfrecord', starts(f / 'data_1.tfrecord')[1]),
    ['data_1.tfrecord: 1 records, expected 2 as in the other files'],
    None,
  ),
  'raw: a label': (
    lambda f: change(f / 'data_0.tfrecord', 0, label=1000),
    [],  # Nothing says how many classes there are.
    [
      'data_0.tfrecord: record 0 at byte 0: label 1000, expected 985 (daisy) '
      f'as in {{val}}:1 ({NAMES[0]!r})'
    ],
  ),
  'dataset: nothing': (lambda f: None, [], []),
  'dataset: no file': (
    lambda f: (f / SHARD_3).unlink(),
    *[[f'{SHARD_3}: the file is missing']] * 2,
  ),
  'dataset: one file more': (
    lambda f: shutil.copy(f / SHARD_1, f / SHARD.format(9)),
    *[
      [f'{SHARD.format(9)}: not a file of this dataset. Copy or build it again']
    ]
    * 2,
  ),
  'dataset: cut between records': (
    lambda f: cut(f / SHARD_1, starts(f / SHARD_1)[1]),
    *[[f'{SHARD_1}: 1 records, expected 2 as TFDS says']] * 2,
  ),
  'dataset: another image of the same shape': (
    lambda f: longer_image(f / SHARD_1),
    *[['{f}: files of {one_more} bytes, expected {size} as TFDS says']] * 2,
  ),
  # What stock TFDS writes: the size of the payloads alone.
  'dataset: payloads': (lambda f: number_of_bytes(f, 8 * 16), [], []),
}


@pytest.mark.parametrize('case', CASES)
def test_files(request, case):
  folder = request.getfixturevalue(case.partition(':')[0])
  size = sum(path.stat().st_size for path in folder.glob('*.tfrecord*'))
  words = {
    'f': folder,
    'quoted': errors.quoted(f'{folder}/data_1.tfrecord'),
    'val': VAL,
    'size': f'{size:,}',
    'one_more': f'{size + 1:,}',
  }
  do, without, with_labels = CASES[case]
  do(folder)
  for label_file, expected in ((None, without), (VAL, with_labels)):
    if expected is not None:
      lines = [line.format(**words) for line in expected]
      assert told(folder, label_file=label_file) == lines


@pytest.mark.parametrize(
  ('kind', 'name'), [('raw', 'data_{}.tfrecord'), ('dataset', SHARD)]
)
def test_swapped_files_are_found_by_their_labels(request, kind, name):
  folder = request.getfixturevalue(kind)
  one, two = name.format(1), name.format(2)
  swap(folder / one, folder / two)
  assert told(folder) == []
  second = starts(folder / one)[1], starts(folder / two)[1]
  assert told(folder, label_file=VAL) == [
    f'{path}: record {number} at byte {offset}: label {label}, expected {true} '
    f'as in {VAL}:{line} ({NAMES[line - 1]!r})'
    for path, number, offset, label, true, line in (
      (one, 0, 0, '971 (bubble)', '970 (alp)', 3),
      (one, 1, second[0], '599 (honeycomb)', '978 (seashore)', 4),
      (two, 0, 0, '970 (alp)', '971 (bubble)', 5),
      (two, 1, second[1], '978 (seashore)', '599 (honeycomb)', 6),
    )
  ]


def test_many_wrong_labels_are_all_named(twenty):
  for number in range(0, 18, 2):
    change(twenty / 'raw' / 'data_1.tfrecord', number, label=59)
  found = told(twenty / 'raw', label_file=str(twenty / 'l.txt'))
  assert [line.split(' at byte')[0] for line in found] == [
    f'data_1.tfrecord: record {number}' for number in range(0, 18, 2)
  ]


@pytest.mark.parametrize('cut_one', [0, 1])
def test_of_three_files_the_cut_one_is_named(twenty, cut_one):
  path = twenty / 'raw' / f'data_{cut_one}.tfrecord'
  cut(path, starts(path)[19])
  assert told(twenty / 'raw') == [
    f'{path.name}: 19 records, expected 20 as in the other files'
  ]


def test_a_file_with_many_wrong_labels_is_told_once(tmp_path):
  names = making.many(24)
  making.write_folder(tmp_path / 'images', names)
  for file, num_classes in (('one.txt', 7), ('other.txt', 5)):
    (tmp_path / file).write_text(making.label_text(names, num_classes))
  images_to_tfrec.make_tfrec(
    image_dir=str(tmp_path / 'images'),
    label_file=str(tmp_path / 'one.txt'),
    tfrec_dir=str(tmp_path / 'raw'),
    img_shard=20,
  )
  found = told(tmp_path / 'raw', label_file=str(tmp_path / 'other.txt'))
  one, last = found[:10], found[10]
  assert one[0].startswith('data_0.tfrecord: record 5 at byte ')
  assert last == (
    f'data_0.tfrecord: 15 of 20 labels are not those of {tmp_path}/other.txt; '
    'is this file swapped with another one?'
  )
  assert [line.split(':')[0] for line in found[11:]] == ['data_1.tfrecord'] * 4


def test_older_files_of_two_data_sets_are_refused(raw):
  shutil.copy(raw / 'data_0.tfrecord', raw / 'other_0.tfrecord')
  with pytest.raises(errors.InputError, match='files of 2 data sets'):
    verify.verify(raw)
