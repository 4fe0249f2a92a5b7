"""What is done to files, and what `verify` then says of them."""

import dataclasses
import json
import os
import pathlib
import shutil
import struct
from collections.abc import Callable

import making

from imagenet_val_tfrec import verify
from imagenet_val_tfrec.records import record as record_lib
from imagenet_val_tfrec.records import sums

VAL = str(making.DUMMY / 'val.txt')
SHARD = 'imagenet_val_tfrec-validation.tfrecord-{:05}-of-00004'
HEADER = 12


def starts(path) -> list[int]:
  """Returns where the records of a file start, and where it ends."""
  content = path.read_bytes()
  found = [0]
  while found[-1] < len(content):
    (length,) = struct.unpack_from('<Q', content, found[-1])
    found.append(found[-1] + HEADER + length + 4)
  return found


def flip(path, position: int, bit: int = 0) -> None:
  content = bytearray(path.read_bytes())
  content[position] ^= 1 << bit
  path.write_bytes(content)


def cut(path, size: int) -> None:
  os.truncate(path, size)


def change(path, number: int, **changes) -> None:
  """Gives a record other fields, and checksums that are right."""
  content = path.read_bytes()
  start, end = starts(path)[number : number + 2]
  record = record_lib.parse(content[start + HEADER : end - 4])
  changed = record_lib.serialise(dataclasses.replace(record, **changes))
  path.write_bytes(content[:start] + b''.join(changed) + content[end:])


def swap(path, other) -> None:
  between = path.with_name('between')
  path.rename(between)
  other.rename(path)
  between.rename(other)


def edit_json(path, edit: Callable[[dict], None]) -> None:
  content = json.loads(path.read_text())
  edit(content)
  path.write_text(json.dumps(content))


def right_size(dataset) -> None:
  """Lets TFDS's metadata say how large the files are."""
  size = sum(path.stat().st_size for path in dataset.glob('*.tfrecord-*'))
  edit_json(
    dataset / 'dataset_info.json',
    lambda info: info['splits'][0].update(numBytes=str(size)),
  )


def write_sums(folder: pathlib.Path) -> pathlib.Path:
  """Writes SHA256SUMS of all files in a folder; returns the folder."""
  sums.write(
    str(folder),
    {path.name: sums.of_file(str(path)) for path in folder.iterdir()},
  )
  return folder


def copied(source, target) -> pathlib.Path:
  """Copies a folder, but for its SHA256SUMS."""
  return shutil.copytree(
    source, target, ignore=shutil.ignore_patterns(sums.FILENAME)
  )


def told(folder, **options) -> list[str]:
  """Returns what is found, without the folder's path."""
  report = verify.verify(folder, **options)
  return [str(f).removeprefix(f'{folder}/') for f in report.findings]
