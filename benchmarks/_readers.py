"""What rows of `read.py` do, each in a process of its own.

  python benchmarks/_readers.py MEASURE READER DATA_DIR IMAGES BATCH_SIZE FOLDER

Prints a line of JSON: what `MEASURE`, a key of `MEASURES`, found. It begins
when imports are done and the first batches of another epoch, or the first
epochs, were read. `FOLDER` holds the same images as files, for those that read
them.
"""

from __future__ import annotations

import functools
import gc
import itertools
import json
import pathlib
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import _peers
import numpy as np

_WARM_BATCHES = 4
_EPOCHS, _SETTLING = 50, 5


# --- TensorFlow ---


def _load(data: _peers.Data, **options: Any) -> Any:
  import tensorflow_datasets as tfds

  return tfds.load(
    'imagenet_val_tfrec',
    split=data.split,
    data_dir=data.data_dir,
    # Small sets would be kept in memory, decoded.
    read_config=tfds.ReadConfig(try_autocache=False),
    **options,
  )


def _undecoded(data: _peers.Data) -> _peers.Epoch:
  import tensorflow_datasets as tfds

  skip = {'image': tfds.decode.SkipDecoding()}
  dataset = _load(data, decoders=skip, as_supervised=True)
  dataset = dataset.batch(data.batch_size)
  return functools.partial(_peers.sizes, dataset)


def _naive(data: _peers.Data, *, antialias: bool = False) -> _peers.Epoch:
  import tensorflow as tf

  def resize_and_crop(image: Any, label: Any) -> tuple[Any, Any]:
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    shape = tf.cast(
      tf.round(shape * _peers.RESIZED / tf.reduce_min(shape)), tf.int32
    )
    image = tf.image.resize(image, shape, antialias=antialias)
    top, left = tf.unstack((shape - _peers.SIZE) // 2)
    return image[top : top + _peers.SIZE, left : left + _peers.SIZE], label

  dataset = _load(data, as_supervised=True)
  dataset = dataset.map(resize_and_crop, num_parallel_calls=tf.data.AUTOTUNE)
  dataset = dataset.batch(data.batch_size).prefetch(tf.data.AUTOTUNE)
  return functools.partial(_peers.sizes, dataset)


def _evaluation(data: _peers.Data, **options: Any) -> _peers.Epoch:
  from imagenet_val_tfrec import pipeline

  dataset = pipeline.evaluation_dataset(
    data.data_dir, data.batch_size, split=data.split, **options
  )
  return functools.partial(_peers.sizes, dataset)


def _training(data: _peers.Data, *, epochs: int = 1) -> _peers.Epoch:
  from imagenet_val_tfrec import pipeline

  dataset = pipeline.training_dataset(
    data.data_dir, data.batch_size, split=data.split, epochs=epochs
  )
  return functools.partial(_peers.sizes, dataset)


def _legacy_parser(data: _peers.Data) -> _peers.Epoch:
  import tensorflow as tf
  import tensorflow_datasets as tfds

  from imagenet_val_tfrec import legacy

  builder = tfds.builder('imagenet_val_tfrec', data_dir=data.data_dir)
  paths = builder.info.splits['validation'].filepaths
  dataset = tf.data.TFRecordDataset(paths).take(data.images)
  dataset = dataset.map(legacy.parser, num_parallel_calls=tf.data.AUTOTUNE)

  def epoch() -> Iterator[int]:
    for _ in dataset:
      yield 1

  return epoch


# --- others ---


def _bare_decoding(data: _peers.Data) -> _peers.Epoch:
  """The limit: as many threads as processors decode images in memory."""
  import simplejpeg

  images = [pathlib.Path(path).read_bytes() for path in data.files()]
  of_thread = threading.local()

  def decode(first: int) -> int:
    buffer = getattr(of_thread, 'buffer', np.empty(1, np.uint8))
    batch = images[first : first + data.batch_size]
    for image in batch:
      height, width, colours, _ = simplejpeg.decode_jpeg_header(image)
      colours = 'CMYK' if colours in ('CMYK', 'YCCK') else 'RGB'
      if len(buffer) < height * width * len(colours):
        buffer = np.empty(height * width * len(colours), np.uint8)
      simplejpeg.decode_jpeg(
        image, colours, fastdct=True, fastupsample=True, buffer=buffer
      )
    of_thread.buffer = buffer
    return len(batch)

  def epoch() -> Iterator[int]:
    # Closed early, it waits for its threads, but not for what they did not
    # begin: nothing is left over for the epoch that is timed.
    with futures.ThreadPoolExecutor(_peers.WORKERS) as pool:
      yield from pool.map(decode, range(0, len(images), data.batch_size))

  return epoch


Reader = Callable[..., _peers.Epoch]  # Of `Data`; training, also of `epochs`.
READERS: dict[str, Reader] = {
  'undecoded': _undecoded,
  'tfds.load': _naive,
  'exact': _evaluation,
  'fast': functools.partial(_evaluation, mode='fast'),
  'training': _training,
  'legacy.parser': _legacy_parser,
  'bare decoding': _bare_decoding,
  'tfds.load, antialias': functools.partial(_naive, antialias=True),
  'exact, antialias': functools.partial(_evaluation, antialias=True),
  'fast, antialias': functools.partial(
    _evaluation, mode='fast', antialias=True
  ),
  **_peers.READERS,
}


def _cpu() -> float:
  usages = map(
    resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
  )
  return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _one_epoch(reader: Reader, data: _peers.Data) -> dict[str, float]:
  epoch = reader(data)
  for _ in itertools.islice(epoch(), _WARM_BATCHES):
    pass
  gc.collect()  # Iterators and their workers end here, not in the epoch.
  cpu, start = _cpu(), time.perf_counter()
  images = sum(epoch())
  return {
    'images': images,
    'seconds': time.perf_counter() - start,
    'cpu': _cpu() - cpu,
  }


def _many_epochs(reader: Reader, data: _peers.Data) -> dict[str, float]:
  """Times 50 epochs, each of an iterator of its own, after five to settle."""
  epoch = reader(data)
  seconds, peaks = [], []
  for _ in range(_SETTLING + _EPOCHS):
    start = time.perf_counter()
    for _ in epoch():
      pass
    seconds.append(time.perf_counter() - start)
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
  return {
    'median s': statistics.median(seconds[_SETTLING:]),
    'longest s': max(seconds[_SETTLING:]),
    'grown MiB': peaks[-1] - peaks[_SETTLING - 1],
  }


def _one_iterator(reader: Reader, data: _peers.Data) -> dict[str, float]:
  """Times the wait for each batch of 50 epochs in a row, after five others."""
  epochs = _SETTLING + _EPOCHS
  waits = []
  last = time.perf_counter()
  for _ in reader(data, epochs=epochs)():
    now = time.perf_counter()
    waits.append(now - last)
    last = now
  counted = waits[_SETTLING * len(waits) // epochs :]
  return {
    'median wait s': statistics.median(counted),
    'longest wait s': max(counted),
  }


MEASURES = {
  'one epoch': _one_epoch,
  '50 short epochs': _many_epochs,
  '50 epochs in a row': _one_iterator,
}


if __name__ == '__main__':
  measure, reader, data_dir, number, batch_size, folder = sys.argv[1:]
  data = _peers.Data(
    data_dir=data_dir,
    images=int(number),
    batch_size=int(batch_size),
    folder=pathlib.Path(folder),
  )
  print('\n' + json.dumps(MEASURES[measure](READERS[reader], data)))
