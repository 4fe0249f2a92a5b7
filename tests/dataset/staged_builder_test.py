"""What is there is checked before it is taken, by whatever way it is loaded.

Also of `provenance` and `config`.
"""

import json
import pathlib
import shutil

import making
import pytest
import tensorflow_datasets as tfds

import imagenet_val_tfrec
from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import discovery, tar_index

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
