"""The builder at its public surface: build, load, order, metadata, refusals.

Of `imagenet_val_tfrec_dataset_builder`, `duplicates` and `splits`.
"""

import errno
import json
import logging
import os
import pathlib
import sys

import making
import pytest
import tensorflow_datasets as tfds

import imagenet_val_tfrec
from imagenet_val_tfrec import verify
from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.inputs import imagenet

ROOT = pathlib.Path(__file__).parent.parent
DUMMY = ROOT / 'dummy_data'
TFDS = str(pathlib.Path(sys.executable).parent / 'tfds')

# In the order of dummy_data/val.txt.
LABELS = [985, 417, 970, 978, 971, 599, 920, 879]


@pytest.fixture(autouse=True)
def _no_progress_bar():
  tfds.disable_progress_bar()


def build(data_dir, manual_dir=DUMMY, config=None, file_format=None, **options):
  builder = imagenet_val_tfrec.Builder(
    data_dir=data_dir, config=config, file_format=file_format
  )
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(
      manual_dir=manual_dir, **options
    )
  )
  return builder


def labels_of(dataset) -> list[int]:
  return [int(example['label']) for example in dataset.as_numpy_iterator()]


class BuilderTest(tfds.testing.DatasetBuilderTestCase):
  """What TFDS asks of every dataset."""

  DATASET_CLASS = imagenet_val_tfrec.Builder
  EXAMPLE_DIR = DUMMY
  SPLITS = {'validation': 8}  # noqa: RUF012
  SKIP_TF1_GRAPH_MODE = True


class StockBuilder(imagenet_val_tfrec.Builder, skip_registration=True):
  """The same builder, on TFDS's own path: the override is taken away."""

  name = 'imagenet_val_tfrec'
  pkg_dir_path = imagenet_val_tfrec.Builder._get_pkg_dir_path()
  _generate_splits = tfds.core.GeneratorBasedBuilder._generate_splits


def test_order_is_the_label_files(tmp_path):
  builder = build(tmp_path)
  assert labels_of(builder.as_dataset(split='validation')) == LABELS


def test_stock_path_gives_the_same_examples(tmp_path):
  ours = build(tmp_path / 'ours').as_dataset(split='validation')
  stock = StockBuilder(data_dir=tmp_path / 'stock')
  stock.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=DUMMY)
  )
  theirs = stock.as_dataset(split='validation')
  pairs = list(
    zip(ours.as_numpy_iterator(), theirs.as_numpy_iterator(), strict=True)
  )
  assert len(pairs) == 8
  for a, b in pairs:
    assert a.keys() == b.keys()
    assert all((a[key] == b[key]).all() for key in a)


@pytest.mark.parametrize('num_shards', [1, 3, 7, 8])
def test_order_holds_for_every_number_of_shards(tmp_path, num_shards):
  builder = build(tmp_path, num_shards=num_shards)
  split = builder.info.splits['validation']
  assert split.num_shards == num_shards
  assert sum(split.shard_lengths) == 8
  assert labels_of(builder.as_dataset(split='validation')) == LABELS
  assert labels_of(builder.as_dataset(split='validation[2:5]')) == LABELS[2:5]


def test_features_and_metadata(tmp_path):
  info = build(tmp_path).info
  assert list(info.features) == ['label', 'height', 'width', 'chans', 'image']
  assert all(info.features[name].doc.desc for name in info.features)
  assert info.features['label'].names == list(imagenet.wnids())
  assert info.features['label'].int2str(65) == 'n01751748'
  assert info.features['image'].shape == (None, None, 3)
  assert info.supervised_keys == ('image', 'label')
  assert info.disable_shuffling
  assert 'Russakovsky' in info.citation
  assert 'label file' in info.description
  assert info.homepage.startswith('https://image-net.org/')
  assert info.release_notes == {'1.0.0': 'Initial release.'}
  tags = imagenet_val_tfrec.Builder.get_metadata().tags
  assert 'ml.task.image-classification' in tags
  metadata = dict(info.metadata)
  assert len(metadata.pop('input_state')) == 64
  assert metadata == {
    # As ever: by another one, no dataset built before would be accepted.
    'fingerprint': (
      'd7704fd6c3ffa166b1e373ccf6fdd606b176e7adab59987f11285b83672039d9'
    ),
    'source_kind': 'tar',
    'source_name': 'ILSVRC2012_img_val.tar',
    'label_file': 'val.txt',
    'label_file_sha256': (
      '5285faa76ce823ac115ddf467d795983d5264b190e881aae72733bab8f5001bf'
    ),
    'images': 8,
    'image_bytes': sum(
      path.stat().st_size for path in (DUMMY / 'val_images').iterdir()
    ),
    'chans': {'1': 1, '3': 6, '4': 1},
    'max_examples_per_split': 0,
    'decode_check': False,
    'max_pixels': 100_000_000,
  }


def test_examples_hold_the_files_own_bytes_and_shape(tmp_path):
  builder = build(tmp_path)
  raw = builder.as_dataset(
    split='validation', decoders={'image': tfds.decode.SkipDecoding()}
  )
  decoded = builder.as_dataset(split='validation')
  names = [line.split()[0] for line in (DUMMY / 'val.txt').open()]
  for name, record, example in zip(
    names, raw.as_numpy_iterator(), decoded.as_numpy_iterator(), strict=True
  ):
    assert record['image'] == (DUMMY / 'val_images' / name).read_bytes()
    height, width, chans = example['image'].shape
    assert (height, width) == (example['height'], example['width'])
    assert chans == 3
    assert example['image'].dtype == 'uint8'


def test_as_supervised(tmp_path):
  builder = build(tmp_path)
  pairs = builder.as_dataset(split='validation', as_supervised=True)
  assert [int(label) for _, label in pairs.as_numpy_iterator()] == LABELS


def test_shuffle_files_is_a_wish(tmp_path):
  builder = build(tmp_path, num_shards=8)
  orders = {
    tuple(
      labels_of(
        builder.as_dataset(
          split='validation',
          shuffle_files=True,
          read_config=tfds.ReadConfig(shuffle_seed=seed),
        )
      )
    )
    for seed in range(4)
  }
  assert len(orders) > 1
  assert all(sorted(order) == sorted(LABELS) for order in orders)


def test_array_record_is_a_data_source(tmp_path):
  builder = build(tmp_path, file_format='array_record', num_shards=3)
  source = builder.as_data_source(split='validation')
  assert [int(source[i]['label']) for i in range(8)] == LABELS


@pytest.mark.parametrize('file_format', ['parquet', 'riegeli'])
def test_formats_that_lose_records_are_refused(tmp_path, file_format):
  with pytest.raises(errors.InputError, match='every example in order'):
    build(tmp_path, file_format=file_format)
  assert leftovers(tmp_path) == []


def leftovers(data_dir) -> list[str]:
  """Returns what stands in a data_dir but for TFDS's own small files."""
  return [
    str(path.relative_to(data_dir))
    for path in data_dir.rglob('*')
    if path.is_file() and '.config' not in path.parts
  ]


@pytest.mark.parametrize(
  ('config', 'images'),
  [
    ({'num_images': 3}, 3),
    ({'num_images': 0}, 8),
    ({'num_images': 100}, 8),
  ],
)
def test_num_images(tmp_path, config, images):
  config = imagenet_val_tfrec.ImagenetValTfrecConfig(name='few', **config)
  builder = build(tmp_path, config=config)
  assert labels_of(builder.as_dataset(split='validation')) == LABELS[:images]


def test_max_examples_per_split(tmp_path):
  builder = build(tmp_path, max_examples_per_split=3)
  assert labels_of(builder.as_dataset(split='validation')) == LABELS[:3]


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'num_shards': 9}, '9 shards for 8 images'),
    ({'max_shard_size': 5000}, r'more than a shard may have: 5,000'),
  ],
)
def test_impossible_shards_are_refused(tmp_path, options, message):
  with pytest.raises(ValueError, match=message):
    build(tmp_path, **options)
  assert leftovers(tmp_path) == []


def test_max_shard_size_is_kept(tmp_path):
  builder = build(tmp_path, max_shard_size=25_000)
  files = builder.info.splits['validation'].filepaths
  assert len(files) > 1
  assert all(path.stat().length <= 25_000 for path in files)
  assert labels_of(builder.as_dataset(split='validation')) == LABELS


# --- any folder ---


@pytest.fixture
def flowers(tmp_path):
  """A folder with 40 pictures in two subfolders, and their label file."""
  pictures = sorted((DUMMY / 'val_images').iterdir())
  lines = []
  for i in range(40):
    name = f'{"ab"[i % 2]}/picture {i}.jpg'.replace(' ', '_')
    path = tmp_path / 'flowers' / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pictures[i % 8].read_bytes())
    lines.append(f'{name} {i * 7 % 5}\n')
  (tmp_path / 'labels.txt').write_text(''.join(lines))
  return tmp_path


FLOWER_LABELS = [i * 7 % 5 for i in range(40)]


@pytest.mark.parametrize(
  ('extra', 'num_classes', 'names'),
  [
    ({}, 5, ['0', '1', '2', '3', '4']),
    ({'num_classes': 6}, 6, ['0', '1', '2', '3', '4', '5']),
    ({'class_names': list('vwxyz')}, 5, list('vwxyz')),
  ],
)
def test_any_folder(flowers, extra, num_classes, names):
  config = imagenet_val_tfrec.ImagenetValTfrecConfig(
    name='flowers',
    image_dir=flowers / 'flowers',
    label_file=flowers / 'labels.txt',
    **extra,
  )
  builder = build(flowers / 'data', config=config, num_shards=12)
  assert labels_of(builder.as_dataset(split='validation')) == FLOWER_LABELS
  lengths = builder.info.splits['validation'].shard_lengths
  assert len(set(lengths)) > 1
  read = tfds.builder('imagenet_val_tfrec/flowers', data_dir=flowers / 'data')
  assert read.info.features['label'].num_classes == num_classes
  assert read.info.features['label'].names == names


@pytest.mark.parametrize(
  ('config', 'message'),
  [
    ({'num_images': -1}, 'num_images is -1'),
    ({'num_classes': 2, 'class_names': ['a']}, 'num_classes is 2, but'),
  ],
)
def test_bad_configs_are_refused(config, message):
  with pytest.raises(ValueError, match=message):
    imagenet_val_tfrec.ImagenetValTfrecConfig(name='bad', **config)


@pytest.mark.parametrize(
  ('extra', 'error', 'message'),
  [
    ({'num_classes': 4}, ValueError, r'out of range 0\.\.3'),
    ({'image_dir': '/nowhere'}, FileNotFoundError, '/nowhere: no such folder'),
  ],
)
def test_what_does_not_fit_is_refused(flowers, extra, error, message):
  given = {
    'image_dir': flowers / 'flowers',
    'label_file': flowers / 'labels.txt',
    **extra,
  }
  config = imagenet_val_tfrec.ImagenetValTfrecConfig(name='flowers', **given)
  with pytest.raises(error, match=message):
    build(flowers / 'data', config=config)
  assert leftovers(flowers / 'data') == []


# --- several splits ---


@pytest.fixture
def halves(tmp_path):
  """A folder of 24 pictures, the same in a tar, and two label files."""
  files = making.many(24)
  making.write_folder(tmp_path / 'images', files)
  making.write_tar(tmp_path / 'images.tar', files)
  for name, part in (('train', [*files][:16]), ('val', [*files][16:])):
    (tmp_path / f'{name}.txt').write_text(making.label_text(part))
    for i, picture in enumerate(part):
      path = tmp_path / 'tree' / name / str(i % 7) / picture
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_bytes(files[picture])
  return tmp_path


def splits(*values, **more):
  """Returns a config of splits, in a folder of the name {}."""
  names = ['train', 'validation'][: len(values)]
  return {'splits': dict(zip(names, values, strict=True)), **more}


WAYS_TO_SAY = {
  'label files': splits('{}/train.txt', '{}/val.txt', image_dir='{}/images'),
  'both': splits(
    {'image_dir': '{}/images.tar', 'label_file': '{}/train.txt'},
    {'image_dir': '{}/images', 'label_file': '{}/val.txt'},
  ),
  'one split': splits('{}/train.txt', image_dir='{}/images.tar'),
  'folders, found': {'image_dir': '{}/tree'},
  'folders': splits('{}/tree/train', '{}/tree/val'),
  'a folder and a label file': splits(
    '{}/tree/train', {'image_dir': '{}/images', 'label_file': '{}/val.txt'}
  ),
}


@pytest.mark.filterwarnings('ignore:8 images of split')
@pytest.mark.parametrize('way', WAYS_TO_SAY)
def test_splits(halves, way, caplog):
  caplog.set_level(logging.INFO, logger='absl')
  # As a shell gives it.
  config = json.loads(json.dumps(WAYS_TO_SAY[way]).replace('{}', str(halves)))
  config |= {'shuffle': 'train', 'shuffle_seed': 5}
  builder = making.build(halves / 'data', options={'num_shards': 3}, **config)
  found = caplog.text.count(f'{halves}/tree: train from train/, 7 class folder')
  assert found == (way == 'folders, found')
  assert builder.info.features['label'].names == [*'0123456']
  names = [*builder.info.splits]
  assert names == ['train', 'validation'][: 2 - (way == 'one split')]
  expected = {'train': [i % 7 for i in range(16)], 'validation': [*range(7), 0]}
  for name, label_file in (('train', 'train.txt'), ('validation', 'val.txt')):
    if label_file not in str(config):  # So by the folders of the classes.
      expected[name].sort()
  expected['train'] = [expected['train'][i] for i in MIXED]
  assert {name: making.labels_in(builder, name) for name in names} == {
    name: expected[name] for name in names
  }
  report = verify.verify(builder.data_dir, decode=True)
  assert (report.findings, report.num_files) == ([], 3 * len(names))
  with pytest.raises(errors.InputError, match='or one that was shuffled'):
    verify.verify(builder.data_dir, label_file=str(halves / 'train.txt'))
  assert making.left_behind(halves / 'data') == [
    'imagenet_val_tfrec/made/1.0.0'
  ]
  config = imagenet_val_tfrec.ImagenetValTfrecConfig(name='made', **config)
  stock = StockBuilder(data_dir=halves / 'stock', config=config)
  stock.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=halves)
  )
  for name in names:
    assert making.labels_in(stock, name) == expected[name]


# Of 16 examples by seed 5: the same for all times.
MIXED = [6, 11, 13, 7, 12, 14, 15, 0, 9, 4, 1, 2, 10, 5, 3, 8]


# --- what is there already ---


def test_a_second_build_reuses_the_first(tmp_path):
  first = build(tmp_path)
  before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob('*.tfrecord*')}
  build(tmp_path)
  assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob('*.tfrecord*')} == (
    before
  )
  assert labels_of(first.as_dataset(split='validation')) == LABELS


def other_input(folder):
  """Makes a manual_dir with the same images in another order."""
  folder.mkdir()
  (folder / 'ILSVRC2012_img_val.tar').symlink_to(
    DUMMY / 'ILSVRC2012_img_val.tar'
  )
  lines = sorted((DUMMY / 'val.txt').read_text().splitlines())
  (folder / 'val.txt').write_text('\n'.join(lines))
  return folder


def test_a_dataset_from_other_input_is_not_taken_for_todays(tmp_path):
  build(tmp_path / 'data')
  other = other_input(tmp_path / 'other')
  with pytest.raises(errors.InputError, match='made from other input') as e:
    build(tmp_path / 'data', manual_dir=other)
  assert '--overwrite' in str(e.value)


def test_a_first_part_does_not_pass_for_the_whole(tmp_path):
  build(tmp_path, max_examples_per_split=3)
  with pytest.raises(errors.InputError, match=r'3 images.*8 images'):
    build(tmp_path)
  with pytest.raises(errors.InputError, match='of the first 3 examples alone'):
    build(tmp_path, manual_dir=tmp_path / 'gone')
  build(tmp_path, max_examples_per_split=3)


def test_where_the_input_is_gone_the_dataset_is_used(tmp_path):
  build(tmp_path / 'data')
  with pytest.warns(UserWarning, match='1.0.0 is used as it is, .*gone'):
    builder = build(tmp_path / 'data', manual_dir=tmp_path / 'gone')
  assert labels_of(builder.as_dataset(split='validation')) == LABELS


def test_where_no_input_is_named_none_is_missed(tmp_path, recwarn):
  build(tmp_path)
  builder = imagenet_val_tfrec.Builder(data_dir=tmp_path)
  builder.download_and_prepare()
  assert labels_of(builder.as_dataset(split='validation')) == LABELS
  assert [w for w in recwarn if w.category is UserWarning] == []


@pytest.mark.parametrize(
  ('option', 'value', 'message'),
  [
    ('decode_check', True, 'this dataset was made without decode_check'),
    ('max_pixels', 90_000, 'made of images of up to 100,000,000 pixels'),
  ],
)
def test_stricter_checks_are_not_taken_for_done(
  tmp_path, option, value, message
):
  options = {
    'image_dir': DUMMY / 'val_images',
    'label_file': DUMMY / 'val.txt',
  }
  making.build(tmp_path, **options)
  making.build(tmp_path, **options)
  with pytest.raises(errors.InputError, match=message):
    making.build(tmp_path, **options, **{option: value})


def test_a_broken_label_file_costs_no_dataset(tmp_path):
  label_file = tmp_path / 'labels.txt'
  label_file.write_bytes((DUMMY / 'val.txt').read_bytes())
  options = {'image_dir': DUMMY / 'val_images', 'label_file': label_file}
  making.build(tmp_path, **options)
  label_file.write_text('broken')
  with pytest.warns(UserWarning, match='used as it is, .*1 lines cannot be'):
    builder = making.build(tmp_path, **options)
  assert labels_of(builder.as_dataset(split='validation')) == LABELS


FILES = ('dataset_info.json', 'features.json', 'metadata.json')


@pytest.mark.parametrize(
  ('names', 'size', 'message'),
  [
    ('*', None, 'no whole dataset'),
    ('dataset_info.json', None, 'no whole dataset'),
    ('features.json', None, 'no whole dataset'),
    ('*tfrecord*', None, 'no whole dataset'),
    ('*tfrecord*', 0, r'tfrecord-0.*: 0 records, expected 8 as TFDS says'),
    ('*tfrecord*', 100, 'record 0 at byte 0: file ends within this record'),
    *((name, 0, f'{name}: damaged, it is not JSON') for name in FILES),
    *((name, 99, f'{name}: damaged, it is not JSON') for name in FILES),
  ],
)
def test_half_a_dataset_is_refused(tmp_path, names, size, message):
  folder = pathlib.Path(build(tmp_path).data_dir)
  for path in list(folder.glob(names)):
    if size is None:
      path.unlink()
    else:
      os.truncate(path, size)
  with pytest.raises(errors.InputError, match=message):
    build(tmp_path)
  overwrite = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS
  builder = build(tmp_path, download_mode=overwrite)
  assert labels_of(builder.as_dataset(split='validation')) == LABELS


OVERWRITE = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS


def test_overwrite_replaces_the_dataset(tmp_path):
  build(tmp_path / 'data', num_shards=8)
  other = other_input(tmp_path / 'other')
  builder = build(
    tmp_path / 'data', manual_dir=other, num_shards=2, download_mode=OVERWRITE
  )
  names = sorted(line.split()[0] for line in (DUMMY / 'val.txt').open())
  by_name = dict(line.split() for line in (DUMMY / 'val.txt').open())
  expected = [int(by_name[name]) for name in names]
  assert labels_of(builder.as_dataset(split='validation')) == expected
  again = imagenet_val_tfrec.Builder(data_dir=tmp_path / 'data')
  assert labels_of(again.as_dataset(split='validation')) == expected
  assert len(list((tmp_path / 'data').rglob('*.tfrecord-*'))) == 2


def test_a_failed_overwrite_leaves_the_old_dataset(tmp_path):
  build(tmp_path / 'data')
  broken = tmp_path / 'broken'
  broken.mkdir()
  (broken / 'val_images').mkdir()
  (broken / 'val.txt').write_bytes((DUMMY / 'val.txt').read_bytes())
  for line in (DUMMY / 'val.txt').open():
    (broken / 'val_images' / line.split()[0]).write_bytes(b'not a picture')
  with pytest.raises(errors.InputError, match='8 images cannot be used'):
    build(tmp_path / 'data', manual_dir=broken, download_mode=OVERWRITE)
  again = imagenet_val_tfrec.Builder(data_dir=tmp_path / 'data')
  assert labels_of(again.as_dataset(split='validation')) == LABELS
  assert not list(tmp_path.rglob('incomplete*'))


def test_folder_and_tar_differ_in_the_sources_name_alone(tmp_path):
  found = {}
  for source in ('val_images', 'ILSVRC2012_img_val.tar'):
    manual = tmp_path / f'manual_{source}'
    manual.mkdir()
    for name in (source, 'val.txt'):
      (manual / name).symlink_to(DUMMY / name)
    builder = build(tmp_path / source, manual_dir=manual, num_shards=3)
    found[source] = {
      path.name: path.read_bytes()
      for path in pathlib.Path(builder.data_dir).iterdir()
    }
  folder, tar = found.values()
  differences = {name for name in folder if folder[name] != tar[name]}
  assert folder.keys() == tar.keys()
  assert differences == {'metadata.json', 'SHA256SUMS'}
  ours, theirs = (json.loads(files['metadata.json']) for files in (folder, tar))
  assert {key for key in ours if ours[key] != theirs[key]} == {
    'source_kind',
    'source_name',
    'input_state',
  }


def test_a_disk_too_small_is_found_before_writing(tmp_path, monkeypatch):
  monkeypatch.setattr(storage, 'free_bytes', lambda folder: 50_000)
  with pytest.raises(OSError, match='GB are free; nothing is kept') as error:
    build(tmp_path)
  assert error.value.errno == errno.ENOSPC
  assert leftovers(tmp_path) == []


def test_load_builds_and_data_source_reads_at_random(tmp_path):
  config = tfds.download.DownloadConfig(manual_dir=DUMMY)
  dataset = tfds.load(
    'imagenet_val_tfrec',
    split='validation[:50%]',
    data_dir=tmp_path / 'a',
    download_and_prepare_kwargs={'download_config': config},
  )
  assert labels_of(dataset) == LABELS[:4]
  build(tmp_path / 'b', file_format='array_record')
  source = tfds.data_source(
    'imagenet_val_tfrec', split='validation', data_dir=tmp_path / 'b'
  )
  assert int(source[5]['label']) == 599


def test_other_class_names_than_those_there_are_said(flowers):
  def config(names):
    return imagenet_val_tfrec.ImagenetValTfrecConfig(
      name='flowers',
      image_dir=flowers / 'flowers',
      label_file=flowers / 'labels.txt',
      class_names=names,
    )

  build(flowers / 'data', config=config(list('abcde')))
  with pytest.raises(errors.InputError, match=r"5 classes, 'a'.*has 5, 'v'"):
    build(flowers / 'data', config=config(list('vwxyz')))
  builder = build(
    flowers / 'data', config=config(list('vwxyz')), download_mode=OVERWRITE
  )
  names = pathlib.Path(builder.data_dir, 'label.labels.txt').read_text()
  assert names.split() == list('vwxyz')


def test_input_that_broke_is_told_but_the_dataset_is_used(tmp_path):
  manual = other_input(tmp_path / 'manual')
  build(tmp_path / 'data', manual_dir=manual)
  (manual / 'val.txt').write_text('{"no": "labels"}')
  with pytest.warns(UserWarning, match=r'used as it is.*JSON'):
    build(tmp_path / 'data', manual_dir=manual)


def test_labels_beyond_the_feature_are_refused(tmp_path):
  manual = tmp_path / 'manual'
  manual.mkdir()
  (manual / 'val_images').symlink_to(DUMMY / 'val_images')
  lines = [line.split() for line in (DUMMY / 'val.txt').open()]
  (manual / 'val.txt').write_text(
    ''.join(f'{name} {5000 + i}\n' for i, (name, _) in enumerate(lines))
  )
  config = imagenet_val_tfrec.ImagenetValTfrecConfig(
    name='mine', check_labels=False
  )
  with pytest.raises(errors.InputError, match=r'out of range 0\.\.999'):
    build(tmp_path / 'data', manual_dir=manual, config=config)
  assert leftovers(tmp_path / 'data') == []
