"""How fast, and in how much memory, the data set is built; and by what else.

  python benchmarks/build.py [--manual_dir DIR | --images N] [--out DIR] …

Prints one table of medians. A row is one command in processes of its own.
Rounds are interleaved (A B C, A B C, …). Each row starts with its input read
once, so that it is in memory where it fits, and from a quiet disk: pages that
one row left to be written would slow the next.

Columns:
  seconds: The work alone, after imports. Of a shell command: all of it.
  process s: From the start of the process to its end.
  x cat: Seconds in those of `cat`, for as many images.
  us/image: Microseconds of the work for each image.
  peak MiB: Peak memory (RSS) of the largest process.
  + MiB: The same above a process that only imports TensorFlow and TFDS.
  + B/image: The same in bytes, for each image.
  images: The fewest examples that it stored in a round, as TFDS counts them.
  written: Bytes of the files that it leaves; hard links are free.
  MB/s: Bytes written (where nothing is: read) in a second of the work.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import statistics
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence

import _measure
import _rows
import _table

_HERE = pathlib.Path(__file__).resolve().parent
_PACKAGE = _HERE.parent / 'imagenet_val_tfrec'
_TAR = 'ILSVRC2012_img_val.tar'
_FEW = 5000


def _paths(
  data: pathlib.Path, work: pathlib.Path, needed: set[str]
) -> dict[str, pathlib.Path]:
  """Returns what the names in the commands stand for; makes what is needed.

  `data` is the folder with the tar and the labels; `images` the images in a
  folder; `folder` one with that and the labels; `few` the same with the first
  5,000; `dataset` and `tfrec` what this builder and the converter made.
  """
  paths = {
    'data': data,
    'tar': data / _TAR,
    'labels': data / 'val.txt',
    'images': data / 'val_images',
    **{name: work / name for name in ('out', 'folder', 'few', 'tfrec')},
  }
  if needed & {'images', 'folder', 'few'} and not paths['images'].is_dir():
    paths['images'] = work / 'val_images'
    _measure.run('tar -xf {tar} -C {out}', paths | {'out': paths['images']})
  if 'folder' in needed:
    paths['folder'].mkdir()
    (paths['folder'] / 'val_images').symlink_to(paths['images'])
    (paths['folder'] / 'val.txt').symlink_to(paths['labels'])
  if 'few' in needed:
    (paths['few'] / 'val_images').mkdir(parents=True)
    with paths['labels'].open() as label_file:
      lines = list(itertools.islice(label_file, _FEW))
    (paths['few'] / 'val.txt').write_text(''.join(lines))
    for name in (line.split()[0] for line in lines):
      link = paths['few'] / 'val_images' / name
      link.symlink_to(paths['images'] / name)
  if 'dataset' in needed:
    made = work / 'dataset'
    _measure.run('{work} this_builder {data} {out}', paths | {'out': made})
    paths['dataset'] = next(made.rglob('dataset_info.json')).parent
  if 'tfrec' in needed:
    _measure.run(_rows.CONVERTER + ' {tar}', paths | {'out': paths['tfrec']})
  return paths


def _table_row(
  row: _rows.Row,
  samples: Mapping[str, Sequence[_measure.Sample]],
  images: int,
  paths: Mapping[str, pathlib.Path],
) -> dict[str, _table.Value]:
  """Returns the medians of one row."""

  def median(name: str, key: str) -> float:
    return statistics.median(getattr(s, key) for s in samples[name])

  cat = median('cat', 'seconds') / images
  if 'few' in row.fields:
    images = min(images, _FEW)
  seconds = median(row.name, 'seconds')
  above = None
  if 'work' in row.fields:  # Others import neither TensorFlow nor TFDS.
    above = median(row.name, 'peak') - median('imports', 'peak')
  written = int(median(row.name, 'written'))
  moved = written or (_measure.size(paths[row.reads]) if row.reads else 0)
  return {
    'row': row.name,
    'seconds': seconds,
    'process s': median(row.name, 'process'),
    'x cat': seconds / images / cat,
    'us/image': seconds / images * 1e6,
    'peak MiB': median(row.name, 'peak') / 2**20,
    '+ MiB': None if above is None else above / 2**20,
    '+ B/image': None if above is None else above / images,
    'images': min(
      (s.images for s in samples[row.name] if s.images is not None),
      default=None,
    ),
    'written': written,
    'MB/s': moved / seconds / 1e6 if moved else None,
  }


def _image_bytes(tar_path: pathlib.Path) -> int:
  """Returns the size of all files in the tar."""
  size = 0
  with tarfile.open(tar_path, 'r:') as tar:
    while member := tar.next():
      size += member.size
      tar.members.clear()  # It would keep 1.5 kB for each of them.
  return size


def _measure_all(
  rows: Sequence[_rows.Row], rounds: int, paths: Mapping[str, pathlib.Path]
) -> dict[str, list[_measure.Sample]]:
  """Runs all rows in each round; one that fails is left out from then on."""
  inputs = {'data': 'tar', 'folder': 'images'}
  samples: dict[str, list[_measure.Sample]] = {row.name: [] for row in rows}
  for number in range(1, rounds + 1):
    for row in rows:
      if row.name not in samples:
        continue
      warm = {inputs.get(field, field) for field in row.fields & set(paths)}
      try:
        sample = _measure.run(
          row.command, paths, [paths[name] for name in sorted(warm - {'out'})]
        )
      except _measure.RunError as error:
        if row.name in _rows.BASES:
          raise
        print(f'left out: {row.name}: {error}', file=sys.stderr)
        del samples[row.name]
        continue
      samples[row.name].append(sample)
      done = f'{number}/{rounds} {row.name}: {sample.seconds:.2f} s'
      print(done, file=sys.stderr)
  return samples


def _select(names: Sequence[str]) -> list[_rows.Row]:
  """Returns the rows of these names (all if none) that can be run here."""
  rows = []
  for row in _rows.ROWS:
    if names and row.name not in {*names, *_rows.BASES}:
      continue
    modules = [row.module]
    if 'tfrec' in row.fields:
      modules.append('images_to_tfrec')
    absent = [m for m in modules if not (_PACKAGE / f'{m}.py').exists()]
    if absent:
      print(f'left out: {row.name}: no {absent[0]}.py', file=sys.stderr)
    else:
      rows.append(row)
  return rows


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument(
    '--manual_dir',
    type=pathlib.Path,
    help=f'folder with {_TAR}, val.txt and, if you like, val_images/; '
    'default: a set is made',
  )
  parser.add_argument(
    '--images', type=int, default=50_000, help='how many are made (%(default)s)'
  )
  parser.add_argument(
    '--tiny', action='store_true', help='make them of 1 kB, not 110 kB'
  )
  parser.add_argument('--rounds', type=int, default=3, help='%(default)s')
  parser.add_argument(
    '--out',
    type=pathlib.Path,
    default=pathlib.Path(tempfile.gettempdir()),
    help='where a folder is made to write to, on a disk or in memory; it is '
    'removed (%(default)s)',
  )
  parser.add_argument(
    '--rows',
    nargs='+',
    default=[],
    choices=[row.name for row in _rows.ROWS],
    metavar='ROW',
    help=f'besides {" and ".join(_rows.BASES)}; of: '
    + ', '.join(repr(row.name) for row in _rows.ROWS),
  )
  parser.add_argument('--json', type=pathlib.Path, help='the table, as JSON')
  return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the benchmark; returns 1 if a row failed."""
  args = _parse(argv)
  rows = _select(args.rows)
  with tempfile.TemporaryDirectory(prefix='build_', dir=args.out) as folder:
    work = pathlib.Path(folder).resolve()
    data = args.manual_dir.resolve() if args.manual_dir else work / 'data'
    if not args.manual_dir:
      make = f'{{python}} {{maker}} {{out}} --images {args.images}'
      make += ' --tiny' * args.tiny
      _measure.run(make, {'out': data, 'maker': _HERE / '_data.py'})
    paths = _paths(data, work, set().union(*(row.fields for row in rows)))
    with paths['labels'].open() as label_file:
      images = sum(1 for _ in label_file)
    samples = _measure_all(rows, args.rounds, paths)
    facts = {
      'images': images,
      'image bytes': _image_bytes(paths['tar']),
      'rounds': args.rounds,
      **_table.machine(),
    }
    table = [
      _table_row(row, samples, images, paths)
      for row in rows
      if row.name in samples
    ]
  _table.report(facts, table, args.json)
  return 0 if len(table) == len(rows) else 1


if __name__ == '__main__':
  sys.exit(main())
