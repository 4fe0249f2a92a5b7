"""`imagenet_val_tfrec build`, of `commands/build`: as `tfds build`, but light."""

import json
import os
import pathlib
import re
import subprocess
import sys

import making
import pytest
import tensorflow_datasets as tfds

from imagenet_val_tfrec import __main__
from imagenet_val_tfrec.writing import shards

LOAD = "tfds.load('imagenet_val_tfrec', split='validation', data_dir={!r})"
IMAGES = ['--manual_dir', str(making.DUMMY)]
FLOWERS = {
  'name': 'flowers',
  'image_dir': str(making.DUMMY / 'val_images'),
  'label_file': str(making.DUMMY / 'val.txt'),
}


def build(*arguments: str) -> int:
  return __main__.main(['build', *arguments])


def files_in(folder: pathlib.Path) -> dict[str, bytes]:
  """Returns the contents of all files below a folder, by their names."""
  paths = [path for path in folder.rglob('*') if path.is_file()]
  return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_same_files_as_tfds_build(tmp_path):
  """With a config, class names and other flags; and nothing else is there."""
  names = [f'class {i}' for i in range(1000)]
  flags = [
    *('--config', json.dumps(FLOWERS | {'class_names': names})),
    *('--num_shards', '3', '--max_examples_per_split', '7'),
  ]
  run = subprocess.run(
    ['tfds', 'build', making.ROOT / 'imagenet_val_tfrec', *flags]
    + ['--data_dir', tmp_path / 'tfds'],
    check=True,
    capture_output=True,
    text=True,
  )
  assert build(*flags, '--data_dir', str(tmp_path / 'ours')) == 0
  ours, theirs = files_in(tmp_path / 'ours'), files_in(tmp_path / 'tfds')
  assert ours == theirs
  assert len(ours) == 3 + len(('dataset_info', 'features', 'label', 'sums', '.'))
  assert '\nbuilt: 7 images in 3 shards, ' in run.stdout
  assert 'class 1' not in run.stdout + run.stderr


SCRIPT = """
import sys
from imagenet_val_tfrec import __main__
heavy = ['tensorflow', 'keras', 'apache_beam', 'pandas', 'jax', 'torch']
sys.modules.update(dict.fromkeys(sys.argv[1:2][0].split(), None))
code = __main__.main(sys.argv[2:])
loaded = sorted(name for name in heavy if sys.modules.get(name))
sys.exit(code or loaded)
"""


@pytest.mark.parametrize('without', ['', 'tensorflow keras apache_beam pandas'])
def test_nothing_heavy_is_loaded(tmp_path, without):
  """Nor needed: it does where these cannot be imported."""
