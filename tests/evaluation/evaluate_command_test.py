"""The command `evaluate`: models from files and by name, and refusals.

Of `evaluate` and `loading`.
"""

from __future__ import annotations

import csv
import re
import subprocess
import sys

import keras
import making
import numpy as np
import pytest

from imagenet_val_tfrec import __main__

JSON = (
  '{"image_size": [16, 16], "resize_size": 16, "scaling": "tf", '
  '"published_top1": 0.5}'
)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A dataset, and a model that takes every image for a daisy (985)."""
  folder = tmp_path_factory.mktemp('evaluate')
  making.build(
    folder / 'data',
    image_dir=making.DUMMY / 'val_images',
    label_file=making.DUMMY / 'val.txt',
    num_classes=1000,
  )
  inputs = keras.Input((16, 16, 3))
  outputs = keras.layers.GlobalAveragePooling2D()(inputs)
  model = keras.Model(inputs, keras.layers.Dense(1000)(outputs))
  bias = np.zeros(1000, np.float32)
  bias[985] = 1
  model.set_weights([np.zeros((3, 1000), np.float32), bias])
  model.save(folder / 'daisy.keras')
  model.export(folder / 'saved', verbose=False)
  return folder


def arguments(folder, *more: str) -> list[str]:
  data = ('--data_dir', str(folder / 'data'), '--config', 'made')
  return ['evaluate', *data, '--batch_size', '5', *more]


def test_keras_file(folder):
  """In a process of its own, as from the shell."""
  table = folder / 'rows.csv'
  more = ('--recipe', JSON, '--csv', str(table))
  model = str(folder / 'daisy.keras')
  run = subprocess.run(
    [
      *(sys.executable, '-m', 'imagenet_val_tfrec'),
      *arguments(folder, model, *more),
    ],
    check=True,
    capture_output=True,
    text=True,
  )
  assert re.fullmatch(
    r'daisy: top-1 12\.5 % ± 22\.4 \(published 50\.0\), top-5 12\.5 % ± 22\.4, '
    r'8 images, not the 50,000 of the published number, [\d,]+ images/s\n',
    run.stdout,
  )
  assert 'Evaluating' in run.stderr
  with open(table, encoding='utf-8', newline='') as file:
    rows = list(csv.DictReader(file))
  assert [row['class_1'] for row in rows] == ['985'] * 8


def test_saved_model(folder, capsys):
  """Which is as good as the file that it is from."""
  more = (str(folder / 'daisy.keras'), '--saved_model', str(folder / 'saved'))
  more += ('--recipe', JSON, '--split', 'validation[:4]')
  assert __main__.main(arguments(folder, *more)) == 0
  of_file, of_folder = capsys.readouterr().out.splitlines()
  assert of_file.startswith('daisy: top-1 25.0 % ± ')
  assert of_folder.startswith('saved: top-1 25.0 % ± ')


def test_by_name(folder, capsys):
  """Without weights, so its accuracy is anything; its recipe is its own."""
  more = ('keras:MobileNetV3Small', '--weights', 'none')
  config = arguments(folder, *more, '--config', 'imagenet_val_tfrec/made')
  assert __main__.main(config) == 0
  line = capsys.readouterr().out
  assert line.startswith('MobileNetV3Small: top-1 ')
  assert '(published 68.1)' in line


@pytest.mark.parametrize(
  ('more', 'message'),
  [
    ([], '0 models, expected one or more'),
    (['a.keras', 'b.keras', '--csv', 'a.csv'], '2 models, expected one:'),
    (
      ['keras:ResNet', '--weights', 'none'],
      'keras:ResNet with weights none cannot be loaded',
    ),
    (['keras:ResNet50', '--weights', 'a.h5'], 'or the path to the weights'),
    (['theirs:resnet50'], 'does not say how its images were prepared'),
    (['a.keras'], 'does not say how its images were prepared'),
    (['a.keras', '--recipe', JSON], 'a.keras cannot be loaded: File not found'),
    (
      ['a.keras', '--recipe', 'ours:x'],
      'expected such as keras:ResNet50, or JSON',
    ),
    (['a.keras', '--recipe', '{"size": 3}'], "unexpected keyword argument 'si"),
    (['a.keras', '--split', 'test'], "Unknown split 'test'"),
    (['a.keras', '--config', 'flowers'], "config is 'flowers'"),
  ],
)
def test_refusals(folder, more, message, capsys):
  assert __main__.main(arguments(folder, *more)) == 1
  out, err = capsys.readouterr()
  assert out == ''
  assert err.startswith('error: ')
  assert message.lower() in err.lower()


def test_libraries_that_are_not_there(folder, capsys, monkeypatch):
  for name in ('timm', 'torchvision'):
    monkeypatch.setitem(sys.modules, name, None)
    assert __main__.main(arguments(folder, f'{name}:resnet18')) == 1
    assert f'pip install {name}' in capsys.readouterr().err


def test_damaged_record(folder, capsys):
  (path,) = (folder / 'data/imagenet_val_tfrec/made/1.0.0').glob('*.tfrecord*')
  content = path.read_bytes()
  path.write_bytes(content[:300] + bytes(100) + content[400:])
  more = (str(folder / 'daisy.keras'), '--recipe', JSON)
  assert __main__.main(arguments(folder, *more)) == 1
  path.write_bytes(content)
  assert 'imagenet_val_tfrec verify' in capsys.readouterr().err
