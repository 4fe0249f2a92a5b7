"""Faults of TFDS and TensorFlow that the package works around.

  python docs/faults.py [NAME …]

shows each of them: what should be, and what is. Where the two are the same, the
fault is gone, and what the code does about it can go. Those that are reported
already are not here; the code has links to them.
"""

from __future__ import annotations

import os

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import contextlib
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable
from unittest import mock

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

FAULTS: dict[str, Callable[[pathlib.Path], tuple[object, object]]] = {}


def fault(function):
  """Puts a function in the table; it returns what should be, and what is."""
  FAULTS[function.__name__] = function
  return function


class Some(tfds.core.GeneratorBasedBuilder):
  """Three examples; `names` are those of its classes."""

  VERSION = tfds.core.Version('1.0.0')
  pkg_dir_path = pathlib.Path(__file__).parent
  names = ('a', 'b', 'c')

  def _info(self):
    label = tfds.features.ClassLabel(names=self.names)
    features = tfds.features.FeaturesDict({'label': label})
    return self.dataset_info_from_configs(features=features)

  def _split_generators(self, dl_manager):
    return {'train': self._generate_examples()}

  def _generate_examples(self):
    for i in range(len(self.names)):
      yield i, {'label': i}


def kind_of_error(work: Callable[[], object]) -> str:
  """Returns the name of the error that `work` raises."""
  try:
    work()
  except Exception as e:
    return type(e).__name__
  return 'no error'


@fault
def parquet(folder):
  """TFDS's parquet writer loses examples, as it skips those that it wrote."""
  from pyarrow import parquet as pq
  from tensorflow_datasets.core import file_adapters

  examples = ((i, b'example') for i in range(3000))
  path = folder / 'examples.parquet'
  file_adapters.ParquetFileAdapter.write_examples(path, examples)
  return 3000, pq.ParquetFile(path).metadata.num_rows


@fault
def max_shard_size(folder):
  """TFDS asks the class for `max_shard_size`, and so gets the default."""
  config = tfds.download.DownloadConfig(max_shard_size=1 << 20)
  shards = config.get_shard_config().get_number_shards(64 << 20, 1000)
  return 'at least 64 shards', f'{shards} shard'


@fault
def overwrite(folder):
  """TFDS deletes a dataset before it builds the one that shall replace it."""
  Some(data_dir=folder).download_and_prepare()
  before = len(list(folder.rglob('*.tfrecord*')))
  again = Some(data_dir=folder)
  again._generate_examples = lambda: iter([(0, {'label': 'no such class'})])
  mode = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS
  config = tfds.download.DownloadConfig(download_mode=mode)
  kind_of_error(lambda: again.download_and_prepare(download_config=config))
  return f'{before} file', f'{len(list(folder.rglob("*.tfrecord*")))} files'


@fault
def empty_folder(folder):
  """TFDS takes any folder of that name for the dataset, and does not build."""
  builder = Some(data_dir=folder)
  builder.data_path.mkdir(parents=True)
  builder.download_and_prepare()
  return 'splits: train', f'splits: {", ".join(builder.info.splits)}'


@fault
def damaged_metadata(folder):
  """TFDS makes no builder where metadata is damaged, not even to overwrite."""
  builder = Some(data_dir=folder)
  builder.download_and_prepare()
  (builder.data_path / 'dataset_info.json').write_text('{')
  return 'no error', kind_of_error(lambda: Some(data_dir=folder))


@fault
def class_names(folder):
  """TFDS tells the code's class names; the dataset was built with others."""
  Some(data_dir=folder).download_and_prepare()
  with mock.patch.object(Some, 'names', ('x', 'y', 'z')):
    today = Some(data_dir=folder)
  return ['a', 'b', 'c'], today.info.features['label'].names


@fault
def cut_in_header(folder):
  """TensorFlow takes a file that ends within a record's header for whole."""
  path = folder / 'records'
  with tf.io.TFRecordWriter(str(path)) as writer:
    writer.write(b'first')
    writer.flush()
    size = path.stat().st_size
    writer.write(b'second')
  os.truncate(path, size + 11)
  dataset = tf.data.TFRecordDataset(path)
  return 'DataLossError', kind_of_error(lambda: list(dataset))


@fault
def shuffle_seed(folder):
  """In a function, TensorFlow's `shuffle` takes no tensor if the seed is 0."""
  tf.random.set_seed(0)
  numbers = tf.data.Dataset.range(3)
  return 'no error', kind_of_error(
    lambda: numbers.flat_map(lambda seed: numbers.shuffle(3, seed=seed))
  )


@fault
def fold_in(folder):
  """The first half of `tf.random.fold_in(seed, n)` is the same for every n."""
  halves = np.array([tf.random.fold_in([1, 2], n) for n in range(5)])[:, 0]
  return '5 numbers', f'{len(set(halves))} number'


@fault
def autotune(folder):
  """With autotuning, TensorFlow's iterators now and then take long to end."""
  image = tf.io.encode_jpeg(tf.zeros([300, 400, 3], tf.uint8))
  images = tf.data.Dataset.from_tensors(image).repeat(2000)
  longest = {False: 0.0, True: 0.0}
  for enabled in [True, False] * 10:
    options = tf.data.Options()
    options.autotune.enabled = enabled
    dataset = images.map(
      lambda image: tf.io.decode_jpeg(image, channels=3),
      num_parallel_calls=tf.data.AUTOTUNE if enabled else 4,
    )
    iterator = iter(dataset.prefetch(2).with_options(options))
    for _ in iterator:
      pass
    start = time.perf_counter()
    del iterator
    longest[enabled] = max(longest[enabled], time.perf_counter() - start)
  return tuple(f'at most {seconds:.1f} s' for seconds in longest.values())


def main(names: list[str]) -> None:
  """Shows the faults of these names; without any, all."""
  for name in names or FAULTS:
    with (
      tempfile.TemporaryDirectory() as folder,
      contextlib.redirect_stdout(sys.stderr),  # What TFDS tells.
    ):
      expected, found = FAULTS[name](pathlib.Path(folder))
    state = 'gone' if expected == found else 'there'
    print(f'{name}: {state}: expected {expected}, found {found}')
    print(f'  {FAULTS[name].__doc__.splitlines()[0]}')


if __name__ == '__main__':
  main(sys.argv[1:])
