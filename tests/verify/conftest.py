"""Older files and a dataset, of four files with two records each."""

import pathlib

import damaging
import making
import pytest

from imagenet_val_tfrec import images_to_tfrec, legacy


@pytest.fixture(scope='session')
def originals(tmp_path_factory) -> pathlib.Path:
  """`raw` and `tfds`, without SHA256SUMS."""
  folder = tmp_path_factory.mktemp('originals')
  images_to_tfrec.make_tfrec(
    image_dir=str(making.DUMMY / 'val_images'),
    label_file=damaging.VAL,
    tfrec_dir=str(folder / 'made'),
    img_shard=2,
  )
  damaging.copied(folder / 'made', folder / 'raw')
  version = legacy.adopt(folder / 'made', folder / 'data')
  damaging.copied(version, folder / 'tfds')
  return folder


@pytest.fixture
def raw(originals, tmp_path) -> pathlib.Path:
  return damaging.copied(originals / 'raw', tmp_path / 'raw')


@pytest.fixture
def dataset(originals, tmp_path) -> pathlib.Path:
  return damaging.copied(originals / 'tfds', tmp_path / 'tfds')


@pytest.fixture
def summed(dataset) -> pathlib.Path:
  """A dataset with SHA256SUMS."""
  return damaging.write_sums(dataset)


@pytest.fixture
def twenty(tmp_path) -> pathlib.Path:
  """`raw`: three older files of twenty records, and `l.txt`, their labels."""
  files = making.many(60)
  making.write_folder(tmp_path / 'images', files)
  (tmp_path / 'l.txt').write_text(making.label_text(files, 60))
  images_to_tfrec.make_tfrec(
    image_dir=str(tmp_path / 'images'),
    label_file=str(tmp_path / 'l.txt'),
    tfrec_dir=str(tmp_path / 'made'),
    img_shard=20,
  )
  damaging.copied(tmp_path / 'made', tmp_path / 'raw')
  return tmp_path
