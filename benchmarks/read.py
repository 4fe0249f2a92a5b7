"""How fast a built data set is read, and by what else.

  python benchmarks/read.py [--data_dir DIR | --images N] …

Prints one table of medians. A row is one epoch in a process of its own, on all
processors, without the imports and the first batches. Rounds are interleaved (A
B C, A B C, …), and ratios are taken within a round.

All but `undecoded`, `legacy.parser` and `bare decoding` give batches of float32
[64, 224, 224, 3]: the short side resized to 256, then a central crop, or for
training a random one. `exact`, `fast` and `training` are this project's
pipelines. `tfds.load` is the usual one, with a map that resizes and crops.
`bare decoding` is libjpeg-turbo in threads, from memory, into a reused buffer.
Rows of what is not installed (extra `bench`) are left out, which is said.

Columns:
  images/s: Of one epoch.
  x naive: The same in terms of `tfds.load`; with antialias, of that one's.
  x limit: The same in terms of `bare decoding`.
  CPU ms: For each image, of all threads and processes.

Above it, whether an epoch's end is a stall. For 50 short epochs, each with an
iterator of its own, after five more: seconds of the median and the longest one,
and how much the peak of memory grew. For 50 in a row from one iterator, after
five more: seconds of the median and the longest wait for a batch.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping, Sequence

import _data
import _measure
import _peers
import _readers
import _table
import tensorflow_datasets as tfds

_HERE = pathlib.Path(__file__).resolve().parent
_LIMIT, _NAIVE, _ANTIALIAS = 'bare decoding', 'tfds.load', ', antialias'
_REPEATED = (
  ('50 short epochs', 'fast'),
  ('50 short epochs', 'training'),
  ('50 epochs in a row', 'training'),
)
_SHORT = 512
_VERSIONS = (
  *('pillow', 'torch', 'webdataset', 'grain', 'mosaicml-streaming', 'litdata'),
  *('datasets', 'simplejpeg'),
)

_Sample = Mapping[str, float]


class _ReaderError(Exception):
  """A reader failed; holds the end of what it printed."""


def _build(work: pathlib.Path, images: int) -> str:
  """Makes a data set and builds it; returns its data_dir."""
  made, built = work / 'made', work / 'built'
  made.mkdir()
  _data.make(made, images, tiny=False)
  _measure.run('{work} this_builder {data} {out}', {'data': made, 'out': built})
  return str(built)


def _write_files(data_dir: str, images: int, folder: pathlib.Path) -> int:
  """Writes the first images as files, and into tars; returns how many.

  There is a tar for each worker, as some readers give each its own.
  """
  folder.mkdir()
  dataset = tfds.load(
    'imagenet_val_tfrec',
    split=f'validation[:{images}]',
    data_dir=data_dir,
    decoders={'image': tfds.decode.SkipDecoding()},
  )
  paths = []
  for number, example in enumerate(dataset.as_numpy_iterator()):
    paths.append(folder / f'{number:08d}.jpg')
    paths[-1].write_bytes(example['image'])
  shards = min(_peers.WORKERS, len(paths))
  for shard in range(shards):
    with tarfile.open(folder / f'{shard}.tar', 'w') as tar:
      for path in paths[shard::shards]:
        tar.add(path, path.name)
  return len(paths)


def _run(measure: str, reader: str, *args: object) -> _Sample:
  places = [str(_HERE.parent), *filter(None, [os.environ.get('PYTHONPATH')])]
  result = subprocess.run(
    [sys.executable, _HERE / '_readers.py', measure, reader, *map(str, args)],
    env={
      **os.environ,
      'PYTHONPATH': os.pathsep.join(places),
      'TF_CPP_MIN_LOG_LEVEL': '2',
    },
    capture_output=True,
    text=True,
  )
  if result.returncode:
    raise _ReaderError(result.stderr[-2000:])
  sample: _Sample = json.loads(result.stdout.splitlines()[-1])
  return sample


def _read_all(
  readers: Iterable[str], rounds: int, args: Sequence[object]
) -> dict[str, list[_Sample]]:
  """Runs all readers in each round; one that fails is left out from then on."""
  samples: dict[str, list[_Sample]] = {reader: [] for reader in readers}
  for number in range(1, rounds + 1):
    for reader in list(samples):
      try:
        sample = _run('one epoch', reader, *args)
      except _ReaderError as error:
        print(f'left out: {reader}: {error}', file=sys.stderr)
        del samples[reader]
        continue
      samples[reader].append(sample)
      rate = sample['images'] / sample['seconds']
      print(f'{number}/{rounds} {reader}: {rate:,.0f}/s', file=sys.stderr)
  return samples


def _naive_of(reader: str) -> str:
  return _NAIVE + _ANTIALIAS * reader.endswith(_ANTIALIAS)


def _choose(asked: Iterable[str]) -> list[str]:
  """Returns the readers to run: what they are compared with, too."""
  asked = set(asked)
  missing = {
    reader: [m for m in modules if importlib.util.find_spec(m) is None]
    for reader, modules in _peers.NEEDS.items()
  }
  left_out = [f'{r!r}' for r in _peers.NEEDS if r in asked and missing[r]]
  if left_out:
    print(f'not installed: {", ".join(left_out)}', file=sys.stderr)
  asked -= {reader for reader in asked if missing.get(reader)}
  asked |= {_LIMIT, *map(_naive_of, asked)}
  return [reader for reader in _readers.READERS if reader in asked]


def _versions() -> dict[str, str]:
  """Returns those of what other readers use, where it is installed."""
  found = {}
  for package in _VERSIONS:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found[package] = importlib.metadata.version(package)
  return found


def _row(
  reader: str, samples: Mapping[str, Sequence[_Sample]]
) -> dict[str, _table.Value]:
  rates = {
    name: [sample['images'] / sample['seconds'] for sample in of_name]
    for name, of_name in samples.items()
  }

  def ratio(base: str) -> float | None:
    if base not in rates:
      return None
    pairs = zip(rates[reader], rates[base], strict=True)
    return statistics.median(rate / other for rate, other in pairs)

  cpu = [sample['cpu'] / sample['images'] for sample in samples[reader]]
  return {
    'reader': reader,
    'images/s': statistics.median(rates[reader]),
    'x naive': ratio(_naive_of(reader)),
    'x limit': ratio(_LIMIT),
    'CPU ms': statistics.median(cpu) * 1000,
  }


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument(
    '--data_dir', help='of a built data set; default: one is made'
  )
  parser.add_argument(
    '--images', type=int, default=5000, help='how many are read (%(default)s)'
  )
  parser.add_argument('--batch_size', type=int, default=64, help='%(default)s')
  parser.add_argument('--rounds', type=int, default=3, help='%(default)s')
  parser.add_argument(
    '--readers',
    nargs='+',
    default=list(_readers.READERS),
    choices=list(_readers.READERS),
    metavar='READER',
    help='besides what they are compared with; of: '
    + ', '.join(map(repr, _readers.READERS)),
  )
  parser.add_argument('--json', type=pathlib.Path, help='the table, as JSON')
  return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the benchmark; returns 1 if a reader failed."""
  args = _parse(argv)
  readers = _choose(args.readers)
  with tempfile.TemporaryDirectory(prefix='read_') as name:
    work = pathlib.Path(name)
    data_dir = args.data_dir or _build(work, args.images)
    files = work / 'files'
    images = _write_files(data_dir, args.images, files)
    samples = _read_all(
      readers, args.rounds, [data_dir, images, args.batch_size, files]
    )
    short = [data_dir, min(images, _SHORT), args.batch_size, files]
    failed = len(readers) - len(samples)
    epochs: dict[str, float] = {}
    for measure, reader in _REPEATED:
      if reader not in samples:
        continue
      try:
        found = _run(measure, reader, *short)
      except _ReaderError as error:
        print(f'left out: {measure} of {reader}: {error}', file=sys.stderr)
        failed += 1
        continue
      epochs |= {f'{measure} of {reader}, {k}': v for k, v in found.items()}
  facts: dict[str, _table.Value] = {
    'images': images,
    'batch size': args.batch_size,
    'rounds': args.rounds,
    **epochs,
    **_table.machine(),
    **_versions(),
  }
  if samples:
    rows = [_row(reader, samples) for reader in samples]
    _table.report(facts, rows, args.json)
  return 1 if failed else 0


if __name__ == '__main__':
  sys.exit(main())
