"""Old files become a dataset of TFDS: whole or not at all, byte for byte."""

import dataclasses
import errno
import os
import pathlib
import re
import subprocess
import sys

import making
import pytest
import tensorflow_datasets as tfds

import imagenet_val_tfrec
from imagenet_val_tfrec import __main__, images_to_tfrec, legacy
from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.records import frames
from imagenet_val_tfrec.records import record as record_lib
from imagenet_val_tfrec.writing import staging

DUMMY = making.ROOT / 'dummy_data'
LABELS = [985, 417, 970, 978, 971, 599, 920, 879]
NAME = 'imagenet_val_tfrec'
VERSION = 'imagenet_val_tfrec/imagenet2012/1.0.0'

# Reads a dataset where there is no such package as this one.
LOAD = """\
import sys
sys.modules['imagenet_val_tfrec'] = None
import tensorflow_datasets as tfds
split, data_dir, *names = sys.argv[1:]
for name in names:
  examples = tfds.load(name, split=split, data_dir=data_dir)
  print([int(example['label']) for example in examples])
  print({example['image'].shape[2] for example in examples})
"""


@pytest.fixture
def raw(tmp_path) -> pathlib.Path:
  """A folder of three files with 3, 3 and 2 records."""
  folder = tmp_path / 'raw'
  images_to_tfrec.make_tfrec(
    image_dir=str(DUMMY / 'val_images'),
    label_file=str(DUMMY / 'val.txt'),
    tfrec_dir=str(folder),
    img_shard=3,
  )
  return folder


def contents(folder) -> list[bytes]:
  paths = sorted(path for path in folder.iterdir() if 'tfrecord' in path.name)
  return [path.read_bytes() for path in paths]


def labels_in(data_dir, name='imagenet_val_tfrec', split='validation'):
  examples = tfds.load(name, split=split, data_dir=data_dir)
  return [int(example['label']) for example in examples]


def change_record(path, **changes) -> None:
  """Replaces the first record of a file by one of other fields."""
  content = path.read_bytes()
  start = frames.HEADER_SIZE
  end = start + frames.frame_length(content[:start])
  record = dataclasses.replace(record_lib.parse(content[start:end]), **changes)
  rest = content[end + frames.FOOTER_SIZE :]
  path.write_bytes(b''.join(record_lib.serialise(record)) + rest)


def test_tfds_reads_adopted_files_in_their_order(raw, tmp_path):
  data_dir = tmp_path / 'data'
  assert legacy.adopt(raw, data_dir) == str(data_dir / VERSION)
  builder = tfds.builder('imagenet_val_tfrec', data_dir=data_dir)
  split = builder.info.splits['validation']
  assert split.shard_lengths == [3, 3, 2]
  assert split.num_bytes == sum(path.stat().st_size for path in raw.glob('*_*'))
  assert builder.info.features['label'].int2str(65) == 'n01751748'
  assert dict(builder.info.metadata) == {'adopted_from': 'raw'}
  assert labels_in(data_dir) == LABELS
  assert making.left_behind(data_dir) == [VERSION]


def test_tfds_reads_them_without_this_package(raw, tmp_path):
  mine = imagenet_val_tfrec.ImagenetValTfrecConfig(
    name='mine', num_classes=1000
  )
  for config in (None, mine):
    legacy.adopt(raw, tmp_path / 'data', split='test', config=config)
  names = ['', '/imagenet2012', '/mine']
  run = subprocess.run(
    [
      *(sys.executable, '-c', LOAD, 'test', str(tmp_path / 'data')),
      *(f'imagenet_val_tfrec{name}' for name in names),
    ],
    check=True,
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  assert run.stdout == f'{LABELS}\n{{3}}\n' * len(names)


def test_files_are_linked_not_copied(raw, tmp_path):
  before = {path.stat().st_ino: path.read_bytes() for path in raw.glob('*_*')}
  version = pathlib.Path(legacy.adopt(raw, tmp_path / 'data'))
  shards = sorted(version.glob('*.tfrecord-*'))
  assert {path.stat().st_ino: path.read_bytes() for path in shards} == before
  assert not any(path.is_symlink() for path in shards)


@pytest.mark.parametrize('reason', [errno.EPERM, errno.EXDEV, errno.EMLINK])
def test_where_hard_links_cannot_be_made(raw, tmp_path, monkeypatch, reason):
  def link(source, target):
    raise OSError(reason, os.strerror(reason), source)

  monkeypatch.setattr(os, 'link', link)
  monkeypatch.chdir(tmp_path)
  version = pathlib.Path(legacy.adopt('raw', 'data'))
  assert all(path.is_symlink() for path in version.glob('*.tfrecord-*'))
  assert contents(version) == contents(raw)
  assert labels_in(tmp_path / 'data') == LABELS


def test_where_no_links_can_be_made(raw, tmp_path, monkeypatch):
  def refuse(source, target):
    raise OSError(errno.EPERM, 'Operation not permitted', target)

  monkeypatch.setattr(os, 'link', refuse)
  monkeypatch.setattr(os, 'symlink', refuse)
  with pytest.raises(OSError, match='Operation not permitted'):
    legacy.adopt(raw, tmp_path / 'data')
  assert making.left_behind(tmp_path / 'data') == []


def test_links_are_followed_to_the_files(raw, tmp_path):
  (tmp_path / 'links').mkdir()
  for path in raw.iterdir():
    (tmp_path / 'links' / path.name).symlink_to(path)
  legacy.adopt(tmp_path / 'links', tmp_path / 'data')
  assert labels_in(tmp_path / 'data') == LABELS


def test_a_dataset_is_replaced_only_on_demand(raw, tmp_path):
  data_dir = tmp_path / 'data'
  built = making.build(
    data_dir,
    image_dir=DUMMY / 'val_images',
    label_file=DUMMY / 'val.txt',
    num_images=3,
  )
  config = built.builder_config
  with pytest.raises(errors.InputError, match='there is a dataset already'):
    legacy.adopt(raw, data_dir, config=config)
  name = f'imagenet_val_tfrec/{config.name}'
  assert labels_in(data_dir, name) == LABELS[:3]
  legacy.adopt(raw, data_dir, config=config, overwrite=True)
  assert labels_in(data_dir, name) == LABELS


def test_a_build_in_progress_is_left_alone(raw, tmp_path):
  target = str(tmp_path / 'data' / VERSION)
  with (
    staging.open_work_dir(staging.beside(target), target),
    pytest.raises(staging.BusyError),
  ):
    legacy.adopt(raw, tmp_path / 'data')
  legacy.adopt(raw, tmp_path / 'data')
  assert labels_in(tmp_path / 'data') == LABELS


def test_adopted_is_taken_for_built(raw, tmp_path):
  """Although there are images to build it from, it is the same dataset."""
  legacy.adopt(raw, tmp_path)
  builder = imagenet_val_tfrec.Builder(data_dir=tmp_path)
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=DUMMY)
  )
  assert dict(builder.info.metadata) == {'adopted_from': 'raw'}


def test_adopted_is_not_taken_for_other_images(raw, tmp_path):
  legacy.adopt(raw, tmp_path / 'data')
  files = {
    path.name: path.read_bytes() + bytes(500)
    for path in (DUMMY / 'val_images').iterdir()
  }
  making.write_folder(tmp_path / 'manual' / 'val_images', files)
  (tmp_path / 'manual' / 'val.txt').write_bytes(
    (DUMMY / 'val.txt').read_bytes()
  )
  builder = imagenet_val_tfrec.Builder(data_dir=tmp_path / 'data')
  with pytest.raises(errors.InputError, match='adopted from older files of'):
    builder.download_and_prepare(
      download_config=tfds.download.DownloadConfig(
        manual_dir=tmp_path / 'manual'
      )
    )


def test_more_classes_need_a_config(raw, tmp_path):
  change_record(raw / 'data_1.tfrecord', label=1000)
  with pytest.raises(errors.InputError, match=r'data_1\.tfrecord: label 1000'):
    legacy.adopt(raw, tmp_path / 'data')
  assert making.left_behind(tmp_path / 'data') == []
  config = imagenet_val_tfrec.ImagenetValTfrecConfig(
    name='more', num_classes=1001
  )
  legacy.adopt(raw, tmp_path / 'data', config=config)
  labels = labels_in(tmp_path / 'data', 'imagenet_val_tfrec/more')
  assert labels == [*LABELS[:3], 1000, *LABELS[4:]]


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (
      {'height': 7},
      'record 0 at byte 0: stored height, width and chans are 7, ',
    ),
    ({'image': b'\x89PNG\r\n\x1a\n'}, 'record 0 at byte 0: a PNG that is cut'),
    ({'label': 2**64 - 1}, 'label -1'),  # As int64 goes on the wire.
  ],
)
def test_other_records_are_refused(raw, tmp_path, changes, message):
  change_record(raw / 'data_2.tfrecord', **changes)
  with pytest.raises(errors.InputError, match=re.escape(message)) as raised:
    legacy.adopt(raw, tmp_path / 'data')
  assert 'data_2.tfrecord' in str(raised.value)
  assert making.left_behind(tmp_path / 'data') == []


def test_damaged_files_are_refused(raw, tmp_path):
  path = raw / 'data_2.tfrecord'
  content = path.read_bytes()
  for damaged, message in (
    (content[:-1], 'record 1 at byte .*: file ends within this record'),
    (b'\1' + content[1:], 'record 0 at byte 0: checksum of the record length'),
    (content[:-1] + b'\1', 'record 1 at byte .*: checksum of the record data'),
    (b'', 'an empty file'),
  ):
    path.write_bytes(damaged)
    with pytest.raises(errors.InputError, match=message):
      legacy.adopt(raw, tmp_path / 'data')
  path.unlink()
  (raw / 'data_1.tfrecord').rename(raw / 'data_3.tfrecord')
  with pytest.raises(errors.InputError, match=r'data_1\.tfrecord'):
    legacy.adopt(raw, tmp_path / 'data')
  assert making.left_behind(tmp_path / 'data') == []


def test_an_unknown_config_is_refused(raw, tmp_path):
  with pytest.raises(errors.InputError, match='no_such_config'):
    legacy.adopt(raw, tmp_path / 'data', config='no_such_config')


@pytest.mark.parametrize(
  'split', ['', 'all', 'a/b', 'train+test', 'validation[:10%]', 'my split']
)
def test_splits_that_tfds_reads_otherwise_are_refused(raw, tmp_path, split):
  with pytest.raises(errors.InputError, match=re.escape(f'split is {split!r}')):
    legacy.adopt(raw, tmp_path / 'data', split=split)
  assert not (tmp_path / 'data').exists()


@pytest.mark.parametrize(
  ('config', 'message'),
  [
    ('{"name": "x", "label_file": "/nowhere"}', "'x' says neither"),
    ('{"name": "x", "num_classes": "5"}', "num_classes is '5'"),
    ('{"name": 5}', 'name is 5, expected letters'),
    ('{"name": "", "num_classes": 5}', "name is '', expected letters"),
    ('{"name": "a/b", "num_classes": 5}', "name is 'a/b', expected letters"),
  ],
)
def test_configs_that_cannot_be_are_refused(
  raw, tmp_path, capsys, config, message
):
  arguments = ['adopt', str(raw), '--data_dir', str(tmp_path / 'data')]
  assert __main__.main([*arguments, '--config', config]) == 1
  assert message in capsys.readouterr().err
  assert not (tmp_path / 'data').exists()


def test_a_damaged_dataset_can_be_replaced(raw, tmp_path):
  target = pathlib.Path(legacy.adopt(raw, tmp_path / 'data'))
  (target / 'dataset_info.json').write_text('{')
  with pytest.raises(errors.InputError, match='there is a dataset already'):
    legacy.adopt(raw, tmp_path / 'data')
  legacy.adopt(raw, tmp_path / 'data', overwrite=True)
  assert labels_in(tmp_path / 'data') == LABELS


def test_a_file_that_was_cut_between_records_is_refused(raw, tmp_path):
  path = raw / 'data_1.tfrecord'
  content = path.read_bytes()
  first = 12 + int.from_bytes(content[:8], 'little') + 4
  path.write_bytes(content[:first])
  with pytest.raises(errors.InputError) as e:
    legacy.adopt(raw, tmp_path / 'data')
  assert f'{path}: 1 records, expected 3 as in the other files' in str(e.value)


def test_twelve_files_stay_in_order(tmp_path):
  names = making.many(12)
  making.write_folder(tmp_path / 'images', names)
  (tmp_path / 'labels.txt').write_text(making.label_text(names, 100))
  images_to_tfrec.make_tfrec(
    image_dir=str(tmp_path / 'images'),
    label_file=str(tmp_path / 'labels.txt'),
    tfrec_dir=str(tmp_path / 'raw'),
    img_shard=1,
  )
  legacy.adopt(tmp_path / 'raw', tmp_path / 'data')
  assert labels_in(tmp_path / 'data') == list(range(12))


def test_from_the_shell(raw, tmp_path, capsys):
  data_dir = tmp_path / 'q[1]'  # No pattern.
  arguments = ['adopt', str(raw), '--data_dir', str(data_dir), '--split', 'old']
  assert __main__.main(arguments) == 0
  said = capsys.readouterr().out
  assert "tfds.load('imagenet_val_tfrec/imagenet2012', split='old'" in said
  assert 'linked' not in said
  assert __main__.main(arguments) == 1
  assert 'there is a dataset already' in capsys.readouterr().err
  assert __main__.main([*arguments, '--overwrite']) == 0
  assert list(tfds.builder(NAME, data_dir=data_dir).info.splits) == ['old']


def test_links_by_name_are_told_of(raw, tmp_path, monkeypatch, capsys):
  def refuse(path, name):
    raise OSError(errno.EXDEV, 'another disk')

  monkeypatch.setattr(os, 'link', refuse)
  assert __main__.main(['adopt', str(raw), '--data_dir', str(tmp_path)]) == 0
  assert f'keep them in {raw}' in capsys.readouterr().out


def test_remote_folders_are_refused(raw):
  with pytest.raises(errors.InputError, match='cannot be linked'):
    legacy.adopt(raw, 'gs://bucket/data')
