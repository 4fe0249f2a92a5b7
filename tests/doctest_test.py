"""The examples in the docstrings of what is public do what they say."""

import doctest

import making
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import imagenet_val_tfrec
from imagenet_val_tfrec import (
  evaluation,
  imagenet,
  images_to_tfrec,
  legacy,
  pipeline,
  recipes,
)
from imagenet_val_tfrec import verify as verify_lib

PUBLIC = [
  *(imagenet_val_tfrec.Builder, imagenet_val_tfrec.ImagenetValTfrecConfig),
  *(getattr(legacy, name) for name in legacy.__all__),
  *(getattr(pipeline, name) for name in pipeline.__all__),
  *(images_to_tfrec.make_tfrec, verify_lib.verify, evaluation.evaluate),
  imagenet.class_name,
]
NAMES = {
  'evaluation': evaluation,
  'imagenet': imagenet,
  'imagenet_val_tfrec': imagenet_val_tfrec,
  'legacy': legacy,
  'make_tfrec': images_to_tfrec.make_tfrec,
  'np': np,
  'pipeline': pipeline,
  'recipes': recipes,
  'tf': tf,
  'tfds': tfds,
  'verify': verify_lib,
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A folder with dummy_data, and with a dataset and older files made of it."""
  folder = tmp_path_factory.mktemp('examples')
  (folder / 'dummy_data').symlink_to(making.DUMMY)
  config = tfds.download.DownloadConfig(manual_dir=making.DUMMY)
  imagenet_val_tfrec.Builder(data_dir=folder / 'data').download_and_prepare(
    download_config=config
  )
  images_to_tfrec.make_tfrec(
    image_dir=str(making.DUMMY / 'val_images'),
    label_file=str(making.DUMMY / 'val.txt'),
    tfrec_dir=str(folder / 'tfrecords'),
  )
  return folder


@pytest.mark.parametrize('public', PUBLIC, ids=lambda public: public.__name__)
def test_example(public, folder, monkeypatch):
  monkeypatch.chdir(folder)
  (example,) = doctest.DocTestFinder(recurse=False).find(public, globs=NAMES)
  assert example.examples
  differences = []
  runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
  runner.run(example, out=differences.append)
  assert differences == [], ''.join(differences)
