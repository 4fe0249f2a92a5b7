"""What rows of `build.py` do, each in a process of its own.

  python benchmarks/_work.py WHAT PATH...

Prints `seconds: …` of the work alone: imports are done before the clock starts.
A TFDS builder's row prints `images: …` too, the examples that it has stored.
TensorFlow and TFDS are imported for each, so that their memory compares.
"""

from __future__ import annotations

import concurrent.futures
import functools
import os
import pathlib
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable

import _stock
import tensorflow_datasets as tfds

from imagenet_val_tfrec import imagenet_val_tfrec_dataset_builder

_Path = pathlib.Path
_Work = Callable[[], int | None]  # May return how many images it stored.

# Two worker processes on this machine.
_BEAM_OPTIONS = (
  '--runner=DirectRunner',
  '--direct_num_workers=2',
  '--direct_running_mode=multi_processing',
)
_DECODERS = 2
_IN_MEMORY = 2000  # Images.


def _imports() -> _Work:
  return lambda: None


def _build(
  make_builder: Callable[..., tfds.core.DatasetBuilder],
  data: _Path,
  out: _Path,
  *,
  beam: bool = False,
) -> _Work:
  options = {}
  if beam:
    from apache_beam.options import pipeline_options

    options['beam_options'] = pipeline_options.PipelineOptions(_BEAM_OPTIONS)
  config = tfds.download.DownloadConfig(manual_dir=data, **options)
  builder = make_builder(data_dir=out)

  def work() -> int:
    builder.download_and_prepare(download_config=config)
    return builder.info.splits['validation'].num_examples

  return work


def _old_loop(images: _Path, label_file: _Path, out: _Path) -> _Work:
  return lambda: _stock.write_old_files(images, label_file, out)


def _untar_old_loop(tar: _Path, label_file: _Path, out: _Path) -> _Work:
  def work() -> None:
    images = out / 'val_images'
    images.mkdir()
    subprocess.run(['tar', '-xf', tar, '-C', images], check=True)
    _stock.write_old_files(images, label_file, out)

  return work


def _adopt(tfrec_dir: _Path, out: _Path) -> _Work:
  from imagenet_val_tfrec import legacy

  def work() -> None:
    legacy.adopt(tfrec_dir, out)

  return work


def _decode(tar_path: _Path) -> _Work:
  """Decodes all images in two threads, with nothing around it."""
  import simplejpeg

  with tarfile.open(tar_path) as tar:
    places = [(member.offset_data, member.size) for member in tar]
  file = os.open(tar_path, os.O_RDONLY)

  def decode(first: int) -> None:
    buffer = bytearray(1)
    for offset, size in places[first::_DECODERS]:
      data = os.pread(file, size, offset)
      height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
      colours = 'CMYK' if colours in ('CMYK', 'YCCK') else 'RGB'
      if len(buffer) < height * width * len(colours):
        buffer = bytearray(height * width * len(colours))
      simplejpeg.decode_jpeg(data, colours, fastdct=True, buffer=buffer)

  def work() -> None:
    with concurrent.futures.ThreadPoolExecutor(_DECODERS) as pool:
      list(pool.map(decode, range(_DECODERS)))

  return work


def _checks(tar_path: _Path) -> _Work:
  """Checks as many images as are in the tar, as a build does; reads none."""
  from imagenet_val_tfrec.records import jpeg

  with tarfile.open(tar_path) as tar:
    places = [(member.offset_data, member.size) for member in tar]
  with tar_path.open('rb') as file:
    some = []
    for offset, size in places[:_IN_MEMORY]:
      file.seek(offset)
      some.append(file.read(size))

  def work() -> None:
    for i in range(len(places)):
      jpeg.read_shape(some[i % len(some)])

  return work


_WORKS: dict[str, Callable[..., _Work]] = {
  'imports': _imports,
  'this_builder': functools.partial(
    _build, imagenet_val_tfrec_dataset_builder.Builder
  ),
  'this_builder_beam': functools.partial(
    _build, imagenet_val_tfrec_dataset_builder.Builder, beam=True
  ),
  'stock_shuffled': functools.partial(_build, _stock.StockShuffled),
  'stock_ordered': functools.partial(_build, _stock.StockOrdered),
  'stock_spread': functools.partial(_build, _stock.StockSpread),
  'stock_beam': functools.partial(_build, _stock.StockBeam, beam=True),
  # It makes the splits whose tar is there: validation alone.
  'imagenet2012': functools.partial(
    _build, functools.partial(tfds.builder, 'imagenet2012')
  ),
  'old_loop': _old_loop,
  'untar_old_loop': _untar_old_loop,
  'adopt': _adopt,
  'decode': _decode,
  'checks': _checks,
}


if __name__ == '__main__':
  what, *paths = sys.argv[1:]
  timed = _WORKS[what](*map(pathlib.Path, paths))
  start = time.perf_counter()
  images = timed()
  print(f'\nseconds: {time.perf_counter() - start}')
  if images is not None:
    print(f'images: {images}')
