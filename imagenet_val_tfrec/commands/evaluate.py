"""`imagenet_val_tfrec evaluate`: scores a model on a dataset."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import importlib
import os
from typing import Any

import tensorflow_datasets as tfds

from imagenet_val_tfrec.core import errors

_DATASET = 'imagenet_val_tfrec'


def add_to(commands: Any) -> None:
  """Adds the command to those of a parser."""
  parser = commands.add_parser(
    'evaluate',
    help='score a model on a dataset, as its authors did',
    description='Scores models on every image of a dataset, prepared as their '
    'authors did. Prints one line for each: accuracies with 95 % intervals, '
    'beside the published ones.',
  )
  parser.set_defaults(work=_evaluate, unusable=1)
  option = parser.add_argument
  option(
    'models',
    nargs='*',
    metavar='MODEL',
    help='keras:NAME, timm:NAME, torchvision:NAME, a .keras file, or the '
    'folder of a SavedModel',
  )
  option('--saved_model', metavar='DIR', help='such a folder')
  option(
    '--data_dir',
    default=tfds.core.constants.get_default_data_dir(),
    help="TFDS's folder for datasets, or a version folder, or a folder of "
    'older files (%(default)s)',
  )
  option('--config', help='name of the config, if it is not ImageNet')
  option('--split', default='validation', help='such as validation[:10%%]')
  option(
    '--weights',
    default='imagenet',
    metavar='imagenet|FILE|none',
    help='of a model by name; or the name of those of torchvision, such as '
    'IMAGENET1K_V1 (%(default)s)',
  )
  option(
    '--recipe',
    help='how images are prepared: as that of keras:NAME and so on, or JSON: '
    '\'{"image_size": 224, "scaling": "tf"}\'',
  )
  option('--batch_size', type=int, default=64, help='images (%(default)s)')
  option('--real_labels', metavar='FILE', help="ReaL labels; timm's are found")
  option(
    '--names',
    metavar='FILE',
    help='label file with the names of the images, if the dataset was not '
    "built with ImageNet's true labels",
  )
  option('--csv', metavar='FILE', help='write a row for each image')
  option('--html', metavar='FILE', help='write a report to look at')


def _evaluate(arguments: argparse.Namespace) -> int:
  saved = [arguments.saved_model] if arguments.saved_model else []
  models = [*arguments.models, *saved]
  files = arguments.csv or arguments.html
  if not models or (files and len(models) > 1):
    raise errors.InputError(
      f'{len(models)} models, expected {"one" if files else "one or more"}: '
      'keras:NAME, timm:NAME, torchvision:NAME, a .keras file, or '
      '--saved_model DIR'
    )
  # Else TensorFlow writes into the progress bar.
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
  # Before TensorFlow: where that has begun to work, PyTorch's import may crash.
  for library in {model.partition(':')[0] for model in models}:
    with contextlib.suppress(ImportError):
      importlib.import_module(library)
  for model in models:
    print(_evaluate_one(model, arguments), flush=True)
  return 0


def _evaluate_one(model: str, arguments: argparse.Namespace) -> Any:
  """Evaluates a model, and writes the files; returns the `Evaluation`."""
  import tensorflow as tf

  from imagenet_val_tfrec import evaluation
  from imagenet_val_tfrec.evaluation import loading
  from imagenet_val_tfrec.pipeline import read

  source = arguments.data_dir
  if arguments.config:
    name = arguments.config.removeprefix(f'{_DATASET}/')
    source = tfds.builder(f'{_DATASET}/{name}', data_dir=source)
  try:
    files = read.find_files(source, arguments.split)
  except ValueError as e:
    raise errors.InputError(str(e)) from e
  loaded = loading.load(model, arguments.weights, arguments.recipe)
  try:
    found = evaluation.evaluate(
      loaded.predict,
      source,
      loaded.recipe,
      batch_size=arguments.batch_size,
      split=arguments.split,
      real_labels=arguments.real_labels,
      names=arguments.names,
    )
  except tf.errors.OpError as e:
    folder = os.path.dirname(files.paths[0])
    raise errors.InputError(
      f'{folder}: a record cannot be used ({e.message.strip()}); to see which: '
      f'imagenet_val_tfrec verify {folder} --decode'
    ) from e
  found = dataclasses.replace(found, model=loaded.name)
  if arguments.csv:
    found.to_csv(arguments.csv)
  if arguments.html:
    found.to_html(arguments.html)
  return found
