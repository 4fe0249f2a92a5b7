"""`imagenet_val_tfrec build`: as `tfds build`, but it loads no TensorFlow."""

from __future__ import annotations

import argparse
import os
from typing import Any

import tensorflow_datasets as tfds

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.core import workers as workers_lib
from imagenet_val_tfrec.dataset import config as config_lib
from imagenet_val_tfrec.imagenet_val_tfrec_dataset_builder import Builder
from imagenet_val_tfrec.writing import runners


def add_to(commands: Any) -> None:
  """Adds the command to those of a parser."""
  parser = commands.add_parser(
    'build',
    help='build the dataset; as tfds build, without waiting for TensorFlow',
    description='Builds the dataset from images and labels, as `tfds build` '
    'does, to the byte, and with the same flags; but it loads no TensorFlow. '
    'A dataset that is there already is checked against the input.',
  )
  parser.set_defaults(work=_build, unusable=1)
  option = parser.add_argument
  option('--manual_dir', help='folder of the images and labels')
  option(
    '--data_dir',
    type=os.path.expanduser,  # No shell does it in --data_dir=~/data.
    default=tfds.core.constants.DATA_DIR,
    help="TFDS's folder for datasets (%(default)s)",
  )
  option(
    '--config',
    help='name of a config, or one as JSON: '
    + errors.CONFIG.removeprefix('--config '),
  )
  option('--num_shards', type=int, help='number of files')
  option('--max_shard_size_mb', type=int, help='most of one file, in MiB')
  option(
    '--max_examples_per_split',
    type=int,
    nargs='?',
    const=1,
    metavar='NUMBER',
    help='build the first examples alone',
  )
  option(
    '--file_format',
    choices=[file_format.value for file_format in tfds.core.FileFormat],
    metavar='FORMAT',
    help='tfrecord (default) or array_record',
  )
  option(
    '--overwrite', action='store_true', help='replace a dataset that is there'
  )
  option(
    '--fail_if_exists',
    action='store_true',
    help='fail if there is a dataset already',
  )
  option('--workers', type=int, default=0, help='threads (0: as many as fit)')
  option(
    '--beam_pipeline_options',
    default='',
    metavar='FLAGS',
    help='run on Apache Beam, with these flags: no dashes, commas between',
  )


def _build(arguments: argparse.Namespace) -> int:
  workers_lib.check_workers(arguments.workers)
  builder = Builder(
    data_dir=arguments.data_dir,
    config=config_lib.from_flag(arguments.config),
    file_format=arguments.file_format,
  )
  builder.run = runners.from_flags(
    arguments.workers, arguments.beam_pipeline_options
  )
  builder.fail_if_exists = arguments.fail_if_exists
  mode = tfds.download.GenerateMode
  config = tfds.download.DownloadConfig(
    manual_dir=arguments.manual_dir,
    max_examples_per_split=arguments.max_examples_per_split,
    num_shards=arguments.num_shards or None,
    download_mode=(
      mode.REUSE_CACHE_IF_EXISTS
      if arguments.overwrite
      else mode.REUSE_DATASET_IF_EXISTS
    ),
  )
  if arguments.max_shard_size_mb:
    config = config.replace(max_shard_size=arguments.max_shard_size_mb << 20)
  builder.download_and_prepare(download_config=config)
  print(builder.in_a_line())
  return 0
