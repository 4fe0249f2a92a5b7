"""The tool: builds, adopts and verifies datasets, and evaluates models on them.

python -m imagenet_val_tfrec inspect dummy_data
python -m imagenet_val_tfrec build --manual_dir dummy_data --data_dir data
python -m imagenet_val_tfrec evaluate keras:MobileNetV2 --data_dir data
python -m imagenet_val_tfrec verify tfrecords --decode
python -m imagenet_val_tfrec adopt tfrecords --data_dir data
python -m imagenet_val_tfrec index tfrecords
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from imagenet_val_tfrec import adoption
from imagenet_val_tfrec import verify as verify_lib
from imagenet_val_tfrec.commands import build, evaluate, index, inspect
from imagenet_val_tfrec.core import command_line, errors
from imagenet_val_tfrec.dataset import config as config_lib
from imagenet_val_tfrec.records import jpeg


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command line; returns the exit code.

  0; 1 if something is wrong or cannot be done; 2 if the arguments are wrong, or
  there is nothing that `verify` can check.
  """
  arguments = _parser().parse_args(argv)
  return command_line.exit_code(
    lambda: int(arguments.work(arguments)), arguments.unusable
  )


def run() -> None:
  """Runs as a console script."""
  sys.exit(main())


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='imagenet_val_tfrec',
    description='Builds the dataset, adopts older TFRecord files into '
    'TensorFlow Datasets, verifies datasets and files, and evaluates models.',
  )
  commands = parser.add_subparsers(required=True, metavar='COMMAND')
  inspect.add_to(commands)
  build.add_to(commands)
  evaluate.add_to(commands)
  index.add_to(commands)

  verify = commands.add_parser(
    'verify',
    help='check every record for damage',
    description='Checks every record: its checksums, fields, label and shape, '
    'and that none is missing; and each file by SHA256SUMS. Prints all that is '
    'wrong, and what it cannot see. Ends with 0 if nothing is wrong, with 1 if '
    'something is, with 2 if it cannot be checked.',
  )
  verify.set_defaults(work=_verify, unusable=2)
  option = verify.add_argument
  option('path', help='version folder of a dataset, or folder of older files')
  option('--decode', action='store_true', help='decode every image, too')
  option(
    '--label_file',
    help='records must have the labels of its lines, in their order: all of '
    'them, or the first ones if it is a dataset of TFDS',
  )
  option('--workers', type=int, default=0, help='threads; 0 is one a processor')
  option(
    '--max_pixels',
    type=int,
    default=jpeg.MAX_PIXELS,
    help='most pixels of an image that is decoded (%(default)s)',
  )
  option(
    '--sums-only',
    action='store_true',
    help='compare files with SHA256SUMS, and look at nothing else: the quick '
    'check after a copy',
  )
  option(
    '--sample',
    metavar='PART',
    help='read a part of the records, such as 5%%, or about that many, such as '
    '1000, spread over all; they are all counted',
  )
  option(
    '--json',
    action='store_true',
    help='print one JSON object in place of lines',
  )

  adopt = commands.add_parser(
    'adopt',
    help='make older TFRecord files a dataset, without copying them',
    description='Makes the files NAME_0.tfrecord and so on a dataset for '
    'tfds.load, in their order, by links and metadata alone.',
  )
  adopt.set_defaults(work=_adopt, unusable=1)
  option = adopt.add_argument
  option('tfrec_dir', help='folder of the files')
  option('--data_dir', required=True, help="TFDS's folder for datasets")
  option('--split', default='validation', help='name of the split')
  option(
    '--config',
    help='name of a config, or one as JSON: '
    '\'{"name": "flowers", "num_classes": 5}\'',
  )
  option(
    '--overwrite', action='store_true', help='replace a dataset that is there'
  )
  return parser


def _verify(arguments: argparse.Namespace) -> int:
  try:
    report = verify_lib.verify(
      arguments.path,
      decode=arguments.decode,
      label_file=arguments.label_file,
      workers=arguments.workers,
      max_pixels=arguments.max_pixels,
      sums_only=arguments.sums_only,
      sample=arguments.sample,
      show_progress=True,
    )
  except (errors.InputError, OSError) as e:
    if arguments.json:
      words = command_line.in_words(e)
      print(json.dumps({'verdict': 'cannot be checked', 'error': words}))
    raise
  if arguments.json:
    print(json.dumps(_as_json(report)))
  else:
    _print(arguments, report)
  return 1 if report.findings else 0


def _as_json(report: verify_lib.Report) -> dict[str, Any]:
  return {
    'verdict': 'damaged' if report.findings else 'no faults',
    'findings': [
      {
        'file': finding.path,
        'record': finding.record,
        'byte': finding.offset,
        'what': finding.what,
      }
      for finding in report.findings
    ],
    'faults': report.num_faults,
    'files': report.num_files,
    'records': report.num_records,
    'records_read': report.num_read,
    'bytes': report.num_bytes,
    'notes': report.notes,
  }


def _print(arguments: argparse.Namespace, report: verify_lib.Report) -> None:
  for finding in report.findings:
    print(errors.harmless(str(finding)))
  amounts = [f'{report.num_files:,} files', f'{report.num_bytes / 1e6:,.1f} MB']
  if not arguments.sums_only:
    amounts.insert(1, f'{report.num_records:,} records')
  number = f'{report.num_faults:,}' if report.num_faults else 'no'
  said = '; '.join([f'{number} faults', *report.notes])
  print(f'{errors.shown(arguments.path)}: {", ".join(amounts)}: {said}')


def _adopt(arguments: argparse.Namespace) -> int:
  path = adoption.adopt(
    arguments.tfrec_dir,
    arguments.data_dir,
    split=arguments.split,
    config=config_lib.from_flag(arguments.config),
    overwrite=arguments.overwrite,
  )
  name = '/'.join(path.split(os.sep)[-3:-1])
  if any(entry.is_symlink() for entry in os.scandir(path)):
    print(
      'The files are linked by name, as hard links could not be made: keep '
      f'them in {arguments.tfrec_dir}'
    )
  print(
    f'{path} is ready: tfds.load({name!r}, split={arguments.split!r}, '
    f'data_dir={arguments.data_dir!r})'
  )
  return 0


if __name__ == '__main__':
  run()
