"""What is there is checked before it is taken, by whatever way it is loaded.

Also of `provenance` and `config`.
"""

import errno
import json
import os
import pathlib
import shutil

import making
import pytest
import tensorflow_datasets as tfds

import imagenet_val_tfrec
from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import discovery, join, tar_index
from imagenet_val_tfrec.writing import shards

NAMES = ('ILSVRC2012_img_val.tar', 'val_images', 'val.txt')


@pytest.fixture
def manual_dir(tmp_path) -> pathlib.Path:
  folder = tmp_path / 'manual'
  folder.mkdir()
  for name in NAMES:
    copy = shutil.copytree if name == 'val_images' else shutil.copy2
    copy(making.DUMMY / name, folder / name)
  return folder


def load(data_dir: pathlib.Path, manual_dir: pathlib.Path, **kwargs):
  """Loads as the README says."""
  config = tfds.download.DownloadConfig(manual_dir=manual_dir)
  return tfds.load(
    'imagenet_val_tfrec',
    split='validation',
    data_dir=data_dir,
    download_and_prepare_kwargs={'download_config': config},
    **kwargs,
  )


def edit_lines(change):
  def edit(data_dir, manual_dir):
    path = manual_dir / 'val.txt'
    lines = path.read_text().splitlines()
    path.write_text('\n'.join(change(lines)) + '\n')

  return edit


def version_folder(data_dir) -> pathlib.Path:
  return data_dir / 'imagenet_val_tfrec/imagenet2012/1.0.0'


def reverse_classes(data_dir, manual_dir):
  path = version_folder(data_dir) / 'label.labels.txt'
  path.write_text('\n'.join(reversed(path.read_text().splitlines())) + '\n')


@pytest.mark.parametrize('images', ['tar', 'folder'])
@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (edit_lines(reversed), 'was made from other input'),
    (edit_lines(lambda lines: lines[:4]), 'was made from other input'),
    (reverse_classes, 'this dataset has 1,000 classes'),
    (
      lambda data_dir, _: (version_folder(data_dir) / 'metadata.json').unlink(),
      r"no whole dataset in it \(missing: 'metadata.json'\)",
    ),
    (
      lambda data_dir, _: (
        version_folder(data_dir) / 'metadata.json'
      ).write_text('{'),
      'damaged, it is not JSON',
    ),
  ],
)
def test_load_checks(tmp_path, manual_dir, images, change, message):
  (manual_dir / NAMES[images == 'tar']).rename(tmp_path / 'other')
  load(tmp_path / 'data', manual_dir)
  change(tmp_path / 'data', manual_dir)
  with pytest.raises(errors.InputError, match=message):
    load(tmp_path / 'data', manual_dir)


@pytest.mark.parametrize('images', ['tar', 'folder'])
def test_nothing_is_read_again_where_nothing_changed(
  tmp_path, manual_dir, monkeypatch, images
):
  (manual_dir / NAMES[images == 'tar']).rename(tmp_path / 'other')
  load(tmp_path / 'data', manual_dir)
  reads = []
  for module, name in ((discovery, 'read_labels'), (tar_index, 'read_index')):
    read = getattr(module, name)
    monkeypatch.setattr(
      module, name, lambda *args, read=read: reads.append(1) or read(*args)
    )
  assert len(load(tmp_path / 'data', manual_dir)) == 8
  assert not reads
  (manual_dir / 'val.txt').touch()
  assert len(load(tmp_path / 'data', manual_dir)) == 8
  assert reads


def test_a_plain_load_needs_no_input_and_leaves_nothing(tmp_path, manual_dir):
  load(tmp_path / 'data', manual_dir)
  before = sorted((tmp_path / 'data').rglob('*'))
  shutil.rmtree(manual_dir)
  shutil.rmtree(tmp_path / 'data' / 'downloads')
  dataset = tfds.load(
    'imagenet_val_tfrec', split='validation', data_dir=tmp_path / 'data'
  )
  assert len(dataset) == 8
  after = sorted((tmp_path / 'data').rglob('*'))
  assert after == [path for path in before if 'downloads' not in path.parts]


def test_prepared_is_what_was_checked(tmp_path, manual_dir):
  config = tfds.download.DownloadConfig(manual_dir=manual_dir)
  for _ in range(2):
    builder = imagenet_val_tfrec.Builder(data_dir=tmp_path)
    assert not builder.is_prepared()
    builder.download_and_prepare(download_config=config)
    assert builder.is_prepared()


def test_a_config_that_is_not_known(tmp_path):
  with pytest.raises(
    errors.InputError, match="config is 'nope', expected imagenet2012"
  ):
    imagenet_val_tfrec.Builder(data_dir=tmp_path, config='nope')


def test_the_metadata_says_what_it_was_made_from(tmp_path, manual_dir):
  load(tmp_path / 'data', manual_dir)
  path = version_folder(tmp_path / 'data') / 'metadata.json'
  metadata = json.loads(path.read_text())
  assert metadata['source_name'] == 'ILSVRC2012_img_val.tar'
  assert metadata['images'] == 8


def test_a_reader_goes_on_with_the_file_that_it_has_open(tmp_path):
  """What docs/TRAINING.md says of an overwrite in mid-epoch."""
  pictures = making.many(300)
  making.write_folder(tmp_path / 'images', pictures)
  options: dict[str, object] = {'num_shards': 1}

  def build(label: int):
    label_file = tmp_path / 'labels.txt'
    label_file.write_text(''.join(f'{name} {label}\n' for name in pictures))
    return making.build(
      tmp_path / 'data',
      image_dir=tmp_path / 'images',
      label_file=label_file,
      num_classes=2,
      options=options,
    )

  decoders = {'image': tfds.decode.SkipDecoding()}
  dataset = build(0).as_dataset(split='validation', decoders=decoders)
  reader = dataset.as_numpy_iterator()
  labels = [int(next(reader)['label'])]
  options['download_mode'] = tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
  new = build(1)
  labels += [int(example['label']) for example in reader]
  assert labels == [0] * 300
  assert making.labels_in(new) == [1] * 300


def test_another_label_file_of_the_same_size_and_time(tmp_path):
  pictures = making.many(4)
  images = making.write_folder(tmp_path / 'images', pictures)
  config = imagenet_val_tfrec.ImagenetValTfrecConfig
  labels = [f'{name} {i}\n' for i, name in enumerate(pictures)]
  swapped = [f'{name} {3 - i}\n' for i, name in enumerate(pictures)]

  def load_by(name):
    return tfds.load(
      'imagenet_val_tfrec',
      data_dir=tmp_path / 'data',
      builder_kwargs={
        'config': config(
          name='f', image_dir=images, label_file=tmp_path / name, num_classes=4
        )
      },
    )

  for name, lines in (('a.txt', labels), ('b.txt', swapped)):
    (tmp_path / name).write_text(''.join(lines))
    os.utime(tmp_path / name, (1, 1))
  load_by('a.txt')
  with pytest.raises(errors.InputError, match='made from other input'):
    load_by('b.txt')


def test_each_split_is_compared(tmp_path, monkeypatch):
  pictures = making.many(8)
  making.write_folder(tmp_path / 'images', pictures)
  names = [*pictures]
  lines = {'a': names[:4], 'b': names[4:], 'c': names[:3:-1]}
  for name, part in lines.items():
    (tmp_path / name).write_text(making.label_text(part, 2))

  def load(splits, **config):
    splits = {name: tmp_path / name for name in splits}
    return making.build(
      tmp_path / 'data', image_dir=tmp_path / 'images', splits=splits, **config
    )

  good = {'splits': 'ab', 'shuffle': 'b'}
  load(**good)
  with monkeypatch.context() as patch:
    patch.setattr(join, 'locate', None)
    load(**good)
  (tmp_path / 'b').touch()
  load(**good)
  for config, message in (
    ({'shuffle': ()}, r"made with shuffle_seed \{'b': 0\} \(not None\)"),
    ({'shuffle': ['a', 'b']}, "not {'a': 0, 'b': 0}"),
    ({'shuffle_seed': 1}, "not {'b': 1}"),
    ({'splits': 'b'}, "'b' of 4 images, .*input is 'b' of 4"),
    ({'splits': 'abc'}, "'b' of 4 images, .*input is .*'c' of 4"),
    ({'num_images': 3}, "'a' of 4 images, .*input is 'a' of 3"),
  ):
    with pytest.raises(errors.InputError, match=message):
      load(**{**good, **config})
  (tmp_path / 'b').write_bytes((tmp_path / 'c').read_bytes())
  with pytest.raises(errors.InputError, match='made from other input'):
    load(**good)
  (tmp_path / 'b').unlink()
  with pytest.warns(UserWarning, match='is used as it is, .*/b'):
    load(**good)


def test_loads_in_a_loop_count_classes_once(tmp_path, manual_dir, monkeypatch):
  reads = []
  read = discovery.read_labels
  monkeypatch.setattr(
    discovery, 'read_labels', lambda *args: reads.append(1) or read(*args)
  )
  for _ in range(3):
    config = imagenet_val_tfrec.ImagenetValTfrecConfig(
      name='f',
      image_dir=manual_dir / 'val_images',
      label_file=manual_dir / 'val.txt',
    )
    builder = imagenet_val_tfrec.Builder(data_dir=tmp_path, config=config)
    builder.download_and_prepare()
  assert len(reads) == 1


def interrupt_overwrite(data_dir, manual_dir, monkeypatch):
  """Leaves finished shards of an `--overwrite` that was interrupted."""

  def interrupted(*args, **kwargs):
    raise KeyboardInterrupt

  builder = imagenet_val_tfrec.Builder(data_dir=data_dir)
  with monkeypatch.context() as patch:
    patch.setattr(shards, 'summarise', interrupted)
    with pytest.raises(KeyboardInterrupt):
      builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
          manual_dir=manual_dir,
          num_shards=4,
          download_mode=tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS,
        )
      )
  return sorted(data_dir.rglob('incomplete.*/shards/*-of-00004'))


def test_a_load_keeps_the_shards_of_an_interrupted_overwrite(
  tmp_path, manual_dir, monkeypatch
):
  load(tmp_path / 'data', manual_dir)
  left = interrupt_overwrite(tmp_path / 'data', manual_dir, monkeypatch)
  assert len(left) == 4
  assert len(load(tmp_path / 'data', manual_dir)) == 8
  assert all(path.exists() for path in left)


def test_a_load_needs_no_disk_that_can_be_written(
  tmp_path, manual_dir, monkeypatch
):
  load(tmp_path / 'data', manual_dir)
  interrupt_overwrite(tmp_path / 'data', manual_dir, monkeypatch)

  def read_only(path, *args, **kwargs):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

  for name in ('mkdir', 'unlink', 'rename', 'replace'):
    monkeypatch.setattr(os, name, read_only)
  assert len(load(tmp_path / 'data', manual_dir)) == 8


def test_a_part_is_loaded_as_it_is(tmp_path, manual_dir):
  config = tfds.download.DownloadConfig(
    manual_dir=manual_dir, max_examples_per_split=3
  )
  imagenet_val_tfrec.Builder(data_dir=tmp_path / 'data').download_and_prepare(
    download_config=config
  )
  dataset = tfds.load('imagenet_val_tfrec', data_dir=tmp_path / 'data')
  assert len(dataset['validation']) == 3


def test_damaged_metadata_is_named_by_whatever_reads_it(tmp_path, manual_dir):
  load(tmp_path / 'data', manual_dir)
  (version_folder(tmp_path / 'data') / 'features.json').write_text('{')
  with pytest.raises(errors.InputError, match=r'features\.json.*damaged'):
    tfds.load('imagenet_val_tfrec', data_dir=tmp_path / 'data', download=False)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'image_dir': 5}, 'image_dir is 5, expected a path'),
    ({'label_file': 5}, 'label_file is 5, expected a path'),
    ({'num_images': None}, 'num_images is None, expected a number, 0 or'),
    ({'num_images': -1}, 'num_images is -1, expected a number, 0 or more'),
    ({'num_classes': 0}, 'num_classes is 0, expected a number, 1 or more'),
    ({'num_classes': 1e30}, r'num_classes is 1e\+30, expected a number'),
    ({'max_pixels': None}, 'max_pixels is None, expected a number, 1 or'),
    ({'check_labels': 'false'}, "check_labels is 'false', expected true or"),
    ({'decode_check': 'no'}, "decode_check is 'no', expected true or false"),
    ({'splits': {}}, 'splits is {}, label_file None, expected a split at leas'),
    ({'splits': 'train'}, "splits is 'train', expected {"),
    ({'splits': {'a': 5}}, "split 'a' is 5, expected the path of class fold"),
    ({'splits': {'a': {}}}, "split 'a' is {}, expected the path of class fo"),
    ({'splits': {'a': {'x': 'y'}}}, "split 'a' is {'x': 'y'}, expected the p"),
    ({'splits': {'a': 'y.txt'}}, "'y.txt'}, .*of a label file for image_dir"),
    ({'splits': {'a': 'x'}, 'label_file': 'y'}, 'and label files in splits'),
    ({'splits': {'all': 'x'}}, "split is 'all', expected a name of letters"),
    ({'splits': {'a-b': 'x'}}, "split is 'a-b', expected a name of letters"),
    ({'shuffle': True}, 'shuffle is True, expected a split, or a list of spl'),
    ({'shuffle_seed': -1}, 'shuffle_seed is -1, expected a number, 0 or more'),
    ({'refuse_duplicates': 1}, 'refuse_duplicates is 1, expected true or'),
    ({'class_names': 'rose'}, "class_names is 'rose', expected a list"),
    ({'class_names': 5}, 'class_names is 5, expected a list of names'),
    ({'class_names': ['a', 'a']}, "class_names is 'a', 'a', expected strings"),
    ({'class_names': ['a', 5]}, "class_names is 'a', '5', expected strings"),
  ],
)
def test_options_of_another_type(options, message):
  with pytest.raises(errors.InputError, match=message):
    imagenet_val_tfrec.ImagenetValTfrecConfig(name='f', **options)
