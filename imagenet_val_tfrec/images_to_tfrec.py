"""Images → raw TFRecord files, as the older `images_to_tfrec.py` made them.

    python -m imagenet_val_tfrec.images_to_tfrec --image_dir val_images

The same flags, file names, order and records; files appear only when all of
them are complete.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import tqdm

from imagenet_val_tfrec.core import command_line, errors, progress, storage
from imagenet_val_tfrec.core import workers as workers_lib
from imagenet_val_tfrec.inputs import discovery, imagenet, join, sources
from imagenet_val_tfrec.records import jpeg, raw_files
from imagenet_val_tfrec.records import record as record_lib
from imagenet_val_tfrec.writing import plan as plan_lib
from imagenet_val_tfrec.writing import publishing, runners, shards, staging

# In the folder of the files, so on the same disk; no glob finds it.
_WORK_DIR = '.incomplete'
# What the older script printed about its options, printed here as well.
_OLD_OPTIONS = (
  *('image_dir', 'img_shard', 'tfrec_base', 'label_file', 'tfrec_dir'),
  'num_images',
)

_FLAGS = (
  ('--image_dir -dir', 'val_images', 'folder of images, or a .tar'),
  ('--label_file -l', 'val.txt', 'one "NAME LABEL" a line'),
  ('--img_shard -s', 5000, 'images in each file; the last may have fewer'),
  ('--tfrec_base -tfb', 'data', 'beginning of the file names'),
  ('--tfrec_dir -tfdir', 'tfrecords', 'folder for the files'),
  ('--num_images -n', 0, 'only the first lines of the label file; 0 is all'),
  ('--workers', 0, 'threads; 0 is the number that is fastest'),
  ('--beam_pipeline_options', '', 'flags for Apache Beam, to run on it'),
  ('--max_pixels', jpeg.MAX_PIXELS, 'most that an image header may promise'),
)


def make_tfrec(
  image_dir: str = 'val_images',
  img_shard: int = 5000,
  tfrec_base: str = 'data',
  label_file: str = 'val.txt',
  tfrec_dir: str = 'tfrecords',
  num_images: int = 0,
  *,
  workers: int = 0,
  beam_pipeline_options: str = '',
  overwrite: bool = False,
  check_labels: bool = True,
  max_pixels: int = jpeg.MAX_PIXELS,
) -> list[str]:
  """Writes labelled images to TFRecord files, in the label file's order.

  Args:
    image_dir: A folder of images, or a `.tar`, which is read in place.
    img_shard: How many images go in each file; the last may have fewer.
    tfrec_base: The files are `{tfrec_base}_0.tfrecord` and so on.
    label_file: One `NAME LABEL` a line.
    tfrec_dir: Where the files go; made if it does not exist.
    num_images: Only the first lines of the label file (0: all).
    workers: How many threads (0: the number that is fastest).
    beam_pipeline_options: Flags of `tfds build`, to run on Apache Beam instead:
      `runner=DirectRunner,direct_num_workers=2`.
    overwrite: Whether files of that base name, and no others, are replaced.
    check_labels: Whether official ImageNet names must have the true labels.
    max_pixels: Most pixels that an image header may promise.

  Returns:
    The paths of the files, in order.

  Raises:
    errors.InputError: if the input cannot be used, `tfrec_dir` has files in it
      or another process is writing there. Nothing is left behind.
    OSError: if images or labels are not there, or files cannot be written.

  Example:
    >>> make_tfrec(
    ...   image_dir='dummy_data/val_images',
    ...   label_file='dummy_data/val.txt',
    ...   tfrec_dir='files',
    ...   img_shard=5,
    ... )
    Directory files created
    Found 8 images and labels in dummy_data/val.txt
    Using 8 images..
    2 TFRecord files will be created.
    Last TFRecord file will have 3 images.
    Wrote 8 images, 0.1 MB: files/data_0.tfrecord to data_1.tfrecord
    ['files/data_0.tfrecord', 'files/data_1.tfrecord']
  """
  _check_arguments(img_shard, tfrec_base, num_images, workers, max_pixels)
  label_lines = discovery.read_labels(label_file)
  if label_lines.several:
    raise errors.InputError(f'{label_lines.where(0)}: {record_lib.SEVERAL}')
  if label_lines.class_names not in (None, imagenet.wnids()):
    raise errors.InputError(
      f'{label_lines.where(0)}: the label is a word, expected a number, as '
      'these files do not keep names of classes'
    )
  if check_labels:
    imagenet.check_labels(label_lines, unless='--no_check_labels')
  source = sources.open_source(image_dir)
  examples = join.locate(
    label_lines, source, limit=num_images, max_pixels=max_pixels
  )
  whole, rest = divmod(len(examples), img_shard)
  lengths = [img_shard] * whole + [rest] * (rest > 0)
  numbers = range(len(lengths))
  plan = plan_lib.Plan(
    examples=examples,
    lengths=lengths,
    filenames=[raw_files.shard_name(tfrec_base, i) for i in numbers],
    checks=jpeg.Checks(max_pixels=max_pixels),
  )
  at = os.path.join(tfrec_dir, _WORK_DIR)
  with (
    publishing.removed_if_empty(tfrec_dir),
    staging.open_work_dir(at, tfrec_dir, publishing.put_back) as work_dir,
  ):
    publishing.in_the_way(tfrec_dir, tfrec_base, overwrite)
    # The words of the older script.
    print(f'Directory {tfrec_dir} created', flush=True)
    print(f'Found {len(label_lines)} images and labels in {label_file}')
    print(f'Using {len(examples)} images..')
    print(f'{len(plan.lengths)} TFRecord files will be created.')
    if plan.lengths[-1] < img_shard:
      print(f'Last TFRecord file will have {plan.lengths[-1]} images.')
    with progress.progress_bar(
      tqdm.tqdm, images=len(examples), description='Writing'
    ) as report:
      [summary] = shards.write_plans(
        [plan],
        work_dir.shards,
        run=runners.from_flags(workers, beam_pipeline_options),
        progress=report,
      )
    # Again: it took a while.
    old = publishing.in_the_way(tfrec_dir, tfrec_base, overwrite)
    publishing.publish(work_dir, old, summary.sums)
  paths = [os.path.join(tfrec_dir, name) for name in plan.filenames]
  size = sum(map(storage.size_of, paths))
  print(
    f'Wrote {len(examples):,} images, {size / 1e6:,.1f} MB: {paths[0]}'
    + (f' to {plan.filenames[-1]}' if len(paths) > 1 else '')
  )
  return paths


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command line (None: that of this process); returns its code."""
  arguments = vars(_parser().parse_args(argv))

  def work() -> int:
    values = [f' --{name:<11}:  {arguments[name]}' for name in _OLD_OPTIONS]
    divider = '-' * 37
    print(divider, 'Command line options:', *values, divider, sep='\n')
    make_tfrec(**arguments)
    return 0

  return command_line.exit_code(work)


def run() -> None:
  """Runs as a console script."""
  sys.exit(main())


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(
    prog='images_to_tfrec',
    description='Writes labelled images to TFRecord files, in the order of '
    'the label file.',
    formatter_class=argparse.ArgumentDefaultsHelpFormatter,
  )
  for flags, default, description in _FLAGS:
    parser.add_argument(
      *flags.split(), type=type(default), default=default, help=description
    )
  parser.add_argument(
    '--overwrite',
    action='store_true',
    help='replace the files of this base name that are in the folder',
  )
  parser.add_argument(
    '--no_check_labels',
    dest='check_labels',
    action='store_false',
    help='take other labels than the true ones for official ImageNet names',
  )
  return parser


def _check_arguments(
  img_shard: int,
  tfrec_base: str,
  num_images: int,
  workers: int,
  max_pixels: int,
) -> None:
  for name, value, least in (
    ('img_shard', img_shard, 1),
    ('num_images', num_images, 0),
    ('workers', workers, 0),
    ('max_pixels', max_pixels, 1),
  ):
    if value < least:
      raise errors.InputError(f'{name} is {value}, expected {least} or more')
  workers_lib.check_workers(workers)
  is_text = tfrec_base.encode('utf-8', 'replace').decode() == tfrec_base
  if not is_text or not tfrec_base or tfrec_base[0] == '.' or '/' in tfrec_base:
    raise errors.InputError(
      f'tfrec_base is {tfrec_base!r}, expected the beginning of a file name; '
      'the folder is tfrec_dir'
    )


if __name__ == '__main__':
  run()
