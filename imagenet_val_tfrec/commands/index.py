"""`imagenet_val_tfrec index`: files that tell DALI where each record is."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from imagenet_val_tfrec.core import errors, small_files, storage
from imagenet_val_tfrec.records import counting, frames, metadata, raw_files


def add_to(commands: Any) -> None:
  """Adds the command to those of a parser."""
  parser = commands.add_parser(
    'index',
    help="write an index beside each file of records, for NVIDIA's DALI",
    description='Writes NAME.idx for each file of records: a line a record, '
    "its first byte and its size. NVIDIA's DALI reads TFRecord files by them.",
  )
  parser.set_defaults(work=_index, unusable=1)
  option = parser.add_argument
  option('path', help='version folder of a dataset, or folder of older files')
  option('--out', metavar='FOLDER', help='write to this folder (default: path)')


def _index(arguments: argparse.Namespace) -> int:
  paths = _record_files(arguments.path)
  folder = arguments.out or arguments.path
  storage.make_folder(folder)
  total = 0
  for path in paths:
    with storage.open_random(path) as reader:
      sizes = [
        (frame.offset, frame.length + frames.OVERHEAD)
        for frame in counting.whole_frames(reader, path)
      ]
    name = os.path.join(folder, os.path.basename(path) + raw_files.INDEX_SUFFIX)
    small_files.write_text(name, ''.join(f'{at} {n}\n' for at, n in sizes))
    total += len(sizes)
  print(f'{folder}: {len(paths):,} indexes, of {total:,} records')
  return 0


def _record_files(folder: str) -> Sequence[str]:
  """Returns the TFRecord files of a dataset, or the older ones of a folder."""
  if not storage.exists(os.path.join(folder, metadata.INFO)):
    return raw_files.legacy_shards(folder)
  info = metadata.read_info(folder)
  if info.file_format != 'tfrecord':
    raise errors.InputError(
      f'{folder}: a dataset of format {info.file_format!r}, which has an index '
      "of its own; expected 'tfrecord', which DALI reads"
    )
  for split in info.splits:
    if split.lengths and split.num_bytes is not None:
      counting.check_dataset(split.paths, split.lengths, split.num_bytes)
  return [path for split in info.splits for path in split.paths]
