"""Input pipelines: what they yield, to the grey level and to the example.

Of `preprocessing`, `image_ops` and `counting`, too.
"""

from __future__ import annotations

import io
import math
import os
import pathlib
import re
import shutil
import struct

import making
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow.python.eager import context

import imagenet_val_tfrec
from imagenet_val_tfrec import legacy, pipeline
from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.pipeline import read as read_lib

# In the order of dummy_data/val.txt.
LABELS = [985, 417, 970, 978, 971, 599, 920, 879]
SKIP_DECODING = {'image': tfds.decode.SkipDecoding()}


# --- records ---


def noise(height: int, width: int, mode: str = 'RGB', **options) -> bytes:
  """Returns a JPEG of black and white dots: nothing is harder to resize."""
  rng = np.random.default_rng(height * width)
  options = {'subsampling': 0, **options}
  channels = len(Image.new(mode, (1, 1)).getbands())
  pixels = 255 * rng.integers(0, 2, (height, width, channels), np.uint8)
  return encode(pixels.squeeze(2) if channels == 1 else pixels, mode, **options)


def ramp(height: int, width: int, mode: str = 'RGB', **options) -> bytes:
  """Returns a JPEG that gets brighter to the right and, in green, downwards."""
  options = {'subsampling': 0, **options}
  x = np.broadcast_to(np.linspace(0, 255, width), (height, width))
  y = np.broadcast_to(np.linspace(0, 255, height)[:, None], (height, width))
  pixels = np.stack([x, y, x], -1).astype(np.uint8)
  converted = np.asarray(Image.fromarray(pixels).convert(mode))
  return encode(converted, mode, **options)


def encode(pixels, mode: str = 'RGB', format: str = 'JPEG', **options) -> bytes:
  file = io.BytesIO()
  options = {'quality': 95, **options} if format == 'JPEG' else options
  Image.fromarray(pixels, mode).save(file, format, **options)
  return file.getvalue()


def record(image: bytes, label: int = 7, **changed: int) -> bytes:
  """Returns a serialised example; `changed` are fields that are wrong."""
  with Image.open(io.BytesIO(image)) as opened:
    width, height = opened.size
  fields = {'label': label, 'height': height, 'width': width, 'chans': 3}
  feature = {
    name: tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    for name, value in {**fields, **changed}.items()
  }
  feature['image'] = tf.train.Feature(
    bytes_list=tf.train.BytesList(value=[image])
  )
  return tf.train.Example(
    features=tf.train.Features(feature=feature)
  ).SerializeToString()


def write_raw(folder: pathlib.Path, *files) -> pathlib.Path:
  """Writes older raw files, each of these records; returns the folder."""
  folder.mkdir(exist_ok=True)
  for number, records in enumerate(files):
    path = folder / f'data_{number}.tfrecord'
    with tf.io.TFRecordWriter(os.fspath(path)) as writer:
      for serialised in records:
        writer.write(serialised)
  return folder


@pytest.fixture(scope='module')
def builder(tmp_path_factory):
  """The pictures of dummy_data, in three shards."""
  builder = imagenet_val_tfrec.Builder(data_dir=tmp_path_factory.mktemp('data'))
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(
      manual_dir=making.DUMMY, num_shards=3
    )
  )
  return builder


@pytest.fixture(scope='module')
def raw(tmp_path_factory):
  """Twelve raw files with a record each, labels 0 to 11."""
  small = ramp(6, 6)
  return write_raw(
    tmp_path_factory.mktemp('raw'), *([record(small, n)] for n in range(12))
  )


def labels_in(dataset) -> list[int]:
  return [int(label) for _, labels, *_ in dataset for label in labels]


def images_in(dataset) -> np.ndarray:
  return np.concatenate([images.numpy() for images, *_ in dataset])


# --- what an image becomes ---


def defined(
  image: bytes,
  antialias: bool,
  size: int | tuple[int, int] = 224,
  resize_size: int = 256,
) -> np.ndarray:
  """Resizes the short side, then takes the central crop."""
  pixels = tf.io.decode_image(image, channels=3)
  shape = np.array(pixels.shape[:2])
  resized = np.round(shape * resize_size / shape.min()).astype(int)
  height, width = np.broadcast_to(size, 2)
  top, left = (resized - size) // 2
  pixels = tf.image.resize(pixels, resized, antialias=antialias).numpy()
  return pixels[top : top + height, left : left + width]


# What `noise` and `ramp` make pictures of.
IMAGES = {
  'one pixel': {'height': 1, 'width': 1},
  'two by three': {'height': 2, 'width': 3},
  'upscaled': {'height': 100, 'width': 90},
  'upscaled, subsampled': {'height': 100, 'width': 91, 'subsampling': 2},
  'the size of the result': {'height': 224, 'width': 224},
  'the size before the crop': {'height': 256, 'width': 256},
  'odd': {'height': 257, 'width': 385},
  'half a pixel to round': {'height': 512, 'width': 683},
  'plain': {'height': 375, 'width': 500},
  'tall': {'height': 500, 'width': 333, 'subsampling': 2},
  'large': {'height': 1100, 'width': 1301, 'subsampling': 2},
  'narrow': {'height': 5000, 'width': 20},
  'broad': {'height': 20, 'width': 5000, 'subsampling': 2},
  'gray': {'height': 300, 'width': 401, 'mode': 'L'},
  'CMYK': {'height': 301, 'width': 400, 'mode': 'CMYK', 'subsampling': 2},
  'progressive': {
    'height': 302,
    'width': 403,
    'progressive': True,
    'subsampling': 1,
  },
}


@pytest.mark.parametrize('antialias', [False, True])
@pytest.mark.parametrize('name', IMAGES)
def test_exact_is_resize_then_crop_eagerly(name, antialias):
  image = noise(**IMAGES[name])
  found, label = pipeline.preprocess(record(image), antialias=antialias)
  np.testing.assert_allclose(
    found, defined(image, antialias), rtol=0, atol=0.05
  )
  assert (found.dtype, label.dtype, int(label)) == (tf.float32, tf.int32, 7)


@pytest.mark.parametrize('antialias', [False, True])
def test_exact_is_resize_then_crop_in_a_dataset(tmp_path, antialias):
  images = [noise(**options) for options in IMAGES.values()]
  source = write_raw(tmp_path, map(record, images))
  found = images_in(pipeline.evaluation_dataset(source, 5, antialias=antialias))
  expected = [defined(image, antialias) for image in images]
  np.testing.assert_allclose(found, expected, rtol=0, atol=0.05)


@pytest.mark.parametrize('antialias', [False, True])
@pytest.mark.parametrize(
  ('size', 'resize_size'), [(224, 224), (299, 320), (1, 1), (100, 777)]
)
def test_exact_for_other_sizes(size, resize_size, antialias):
  image = noise(301, 400)
  found, _ = pipeline.preprocess(
    record(image), image_size=size, resize_size=resize_size, antialias=antialias
  )
  expected = defined(image, antialias, size, resize_size)
  np.testing.assert_allclose(found, expected, rtol=0, atol=0.05)


@pytest.mark.parametrize(
  ('mode', 'make', 'atol'), [('exact', noise, 0.05), ('fast', ramp, 4)]
)
@pytest.mark.parametrize('size', [(64, 224), (255, 97)])
@pytest.mark.parametrize('antialias', [False, True])
def test_the_image_need_not_be_square(mode, make, atol, size, antialias):
  image = make(512, 601)
  found, _ = pipeline.preprocess(
    record(image), image_size=size, mode=mode, antialias=antialias
  )
  np.testing.assert_allclose(
    found, defined(image, antialias, size), rtol=0, atol=atol
  )


@pytest.mark.parametrize('antialias', [False, True])
@pytest.mark.parametrize('name', IMAGES)
def test_fast_is_less_than_a_pixel_from_exact(name, antialias):
  """Of smooth pictures; in noise, half a pixel is another picture."""
  image = ramp(**IMAGES[name])
  found, _ = pipeline.preprocess(
    record(image), mode='fast', antialias=antialias
  )
  short_side = min(IMAGES[name]['height'], IMAGES[name]['width'])
  pixel = 255 / max(short_side - 1, 1)
  np.testing.assert_allclose(
    found, defined(image, antialias), rtol=0, atol=pixel + 5
  )


def test_fast_is_exact_where_the_crop_falls_on_pixels():
  found, _ = pipeline.preprocess(record(noise(256, 256)), mode='fast')
  np.testing.assert_array_equal(found, defined(noise(256, 256), False))


@pytest.mark.parametrize(('side', 'averaged'), [(511, False), (512, True)])
def test_fast_decodes_large_images_at_half_scale(side, averaged):
  y, x = np.mgrid[:side, :side]
  checkered = (255 * ((x + y) % 2)).astype(np.uint8)
  image = encode(checkered, 'L', quality=100)
  found, _ = pipeline.preprocess(record(image), mode='fast')
  assert (np.ptp(found) < 10) == averaged


@pytest.mark.parametrize('mode', ['exact', 'fast'])
@pytest.mark.parametrize('antialias', [False, True])
@pytest.mark.parametrize(
  'wrong',
  [
    {'height': 301, 'width': 320},  # Swapped.
    {'height': 319},
    {'width': 302},
    {'height': 3200, 'width': 3010},
  ],
  ids=str,
)
def test_a_shape_that_is_not_stored_is_an_error(mode, antialias, wrong):
  pixels = np.zeros((320, 301, 3), np.uint8)
  wrong_record = record(encode(pixels), **wrong)
  with pytest.raises(
    tf.errors.InvalidArgumentError, match='not as high and wide'
  ):
    pipeline.preprocess(wrong_record, mode=mode, antialias=antialias)


@pytest.mark.parametrize(
  'options',
  [
    {},
    {'antialias': True},
    {'mode': 'fast'},
    {'mode': 'random', 'seed': [0, 1]},
  ],
  ids=str,
)
@pytest.mark.parametrize(
  'image', [b'<html>no image</html>', b'', making.picture()[:200]]
)
def test_what_does_not_decode_is_an_error(options, image):
  fields = {
    'label': tf.constant(0, tf.int64),
    'height': tf.constant(240, tf.int64),
    'width': tf.constant(240, tf.int64),
    'image': tf.constant(image),
  }
  with pytest.raises(tf.errors.InvalidArgumentError):
    pipeline.preprocess(fields, **options)


def test_a_record_without_a_field_is_an_error():
  empty = tf.train.Example().SerializeToString()
  with pytest.raises(tf.errors.InvalidArgumentError, match='height'):
    pipeline.preprocess(empty)


@pytest.mark.parametrize(
  ('label', 'num_classes'), [(-1, None), (2**32, None), (-1, 9), (9, 9)]
)
def test_a_label_out_of_range_is_an_error(label, num_classes):
  bad = tf.constant(record(ramp(6, 6), label))
  dataset = tf.data.Dataset.from_tensors(bad).map(
    lambda r: pipeline.preprocess(r, num_classes=num_classes)
  )
  for read in (
    lambda: pipeline.preprocess(bad, num_classes=num_classes),
    lambda: list(dataset),
  ):
    with pytest.raises(
      tf.errors.InvalidArgumentError, match='the label is out of range'
    ):
      read()


def test_a_label_of_no_class_is_an_error(tmp_path, builder):
  shutil.copytree(builder.data_path, tmp_path, dirs_exist_ok=True)
  edit = tmp_path / 'features.json'
  edit.write_text(edit.read_text().replace('"1000"', '"980"'))
  for dataset in (
    pipeline.evaluation_dataset(tmp_path, 3),
    pipeline.training_dataset(tmp_path, 3, epochs=1),
  ):
    with pytest.raises(
      tf.errors.InvalidArgumentError, match='the label is out of range'
    ):
      list(dataset)


def test_preprocess_maps_what_tfds_loads(builder):
  dataset = builder.as_dataset(split='validation', decoders=SKIP_DECODING)
  mapped = dataset.map(lambda fields: pipeline.preprocess(fields)).batch(8)
  assert mapped.element_spec[0].shape == (None, 224, 224, 3)
  found = images_in(mapped)
  np.testing.assert_array_equal(
    found, images_in(pipeline.evaluation_dataset(builder, 8))
  )


def test_preprocess_refuses_what_is_decoded(builder):
  (example,) = builder.as_dataset(split='validation').take(1)
  with pytest.raises(ValueError, match=r'decoded \(uint8\).*SkipDecoding'):
    pipeline.preprocess(example)


# --- evaluation ---


@pytest.mark.parametrize(
  ('last_batch', 'batch_size'),
  [
    *(('keep', size) for size in (1, 3, 4, 8, 100)),
    *(('pad', size) for size in (1, 3, 4, 8, 100)),
    *(('drop', size) for size in (1, 3, 4, 8)),  # Else nothing would be left.
  ],
)
def test_each_example_once_and_in_order(builder, last_batch, batch_size):
  dataset = pipeline.evaluation_dataset(
    builder, batch_size, image_size=8, resize_size=8, last_batch=last_batch
  )
  batches = list(dataset)
  full, rest = divmod(8, batch_size)
  expected = {
    'keep': [batch_size] * full + [rest] * (rest > 0),
    'drop': [batch_size] * full,
    'pad': [batch_size] * (full + (rest > 0)),
  }[last_batch]
  assert [len(labels) for _, labels, *_ in batches] == expected
  assert len(dataset) == len(expected)
  labels = labels_in(batches)
  if last_batch == 'drop':
    assert labels == LABELS[: full * batch_size]
  else:
    assert labels[:8] == LABELS
  if last_batch == 'pad':
    weights = np.concatenate([weights for *_, weights in batches])
    assert weights.tolist() == [1.0] * 8 + [0.0] * (len(labels) - 8)
    assert labels[8:] == [0] * (len(labels) - 8)
    assert not images_in(batches)[8:].any()


def test_what_it_yields_has_the_promised_types(builder):
  kept = pipeline.evaluation_dataset(builder, 5)
  assert kept.element_spec == (
    tf.TensorSpec([None, 224, 224, 3], tf.float32),
    tf.TensorSpec([None], tf.int32),
  )
  padded = pipeline.evaluation_dataset(builder, 5, last_batch='pad')
  assert padded.element_spec == (
    tf.TensorSpec([5, 224, 224, 3], tf.float32),
    tf.TensorSpec([5], tf.int32),
    tf.TensorSpec([5], tf.float32),
  )


@pytest.mark.parametrize('mode', ['exact', 'fast'])
@pytest.mark.parametrize('antialias', [False, True])
def test_every_kind_of_picture_passes(builder, mode, antialias):
  dataset = pipeline.evaluation_dataset(
    builder, 3, mode=mode, antialias=antialias
  )
  images = images_in(dataset)
  assert images.shape == (8, 224, 224, 3)
  assert images.min() >= 0
  assert images.max() <= 255
  expected = [defined(image, antialias) for image in _payloads(builder)]
  if mode == 'exact':
    np.testing.assert_allclose(images, expected, rtol=0, atol=0.05)
  else:
    differences = abs(images - expected)
    assert differences.mean((1, 2, 3)).max() < 5
    assert np.quantile(differences, 0.99, (1, 2, 3)).max() < 32


def _payloads(builder) -> list[bytes]:
  dataset = builder.as_dataset(split='validation', decoders=SKIP_DECODING)
  return [example['image'] for example in dataset.as_numpy_iterator()]


@pytest.mark.parametrize(
  ('split', 'expected'),
  [
    ('validation', LABELS),
    ('validation[25%:75%]', LABELS[2:6]),
    ('validation[-3:]', LABELS[-3:]),
    ('validation[:1]+validation[6:]', [LABELS[0], *LABELS[6:]]),
  ],
)
def test_splits_of_tfds(builder, split, expected):
  dataset = pipeline.evaluation_dataset(builder, 3, split=split)
  assert labels_in(dataset) == expected
  assert len(dataset) == -(-len(expected) // 3)


def test_sources_that_hold_the_same(builder):
  version_folder = builder.data_path
  data_dir = version_folder.parents[2]
  for source in (builder, version_folder, str(version_folder), data_dir):
    assert labels_in(pipeline.evaluation_dataset(source, 3)) == LABELS


def test_raw_files_are_read_in_numeric_order(raw):
  dataset = pipeline.evaluation_dataset(raw, 5)
  assert labels_in(dataset) == list(range(12))


def test_label_offset_is_added_to_examples_and_padding(builder):
  dataset = pipeline.evaluation_dataset(
    builder, 5, label_offset=1, last_batch='pad'
  )
  assert labels_in(dataset) == [*(label + 1 for label in LABELS), 1, 1]


@pytest.mark.parametrize('last_batch', ['keep', 'pad'])
def test_transform_gets_batches_of_images(builder, last_batch):
  plain = pipeline.evaluation_dataset(builder, 5, last_batch=last_batch)
  transformed = pipeline.evaluation_dataset(
    builder,
    5,
    last_batch=last_batch,
    transform=tf.keras.applications.mobilenet_v2.preprocess_input,
  )
  np.testing.assert_allclose(
    images_in(transformed), images_in(plain) / 127.5 - 1, atol=1e-6
  )
  assert labels_in(transformed) == labels_in(plain)


def test_weights_make_evaluate_right(builder):
  tf.keras.utils.set_random_seed(1)
  model = tf.keras.Sequential(
    [
      tf.keras.layers.Input([8, 8, 3]),
      tf.keras.layers.Rescaling(1 / 255),
      tf.keras.layers.Flatten(),
      tf.keras.layers.Dense(1000, activation='softmax'),
    ]
  )
  model.compile(
    loss='sparse_categorical_crossentropy',
    weighted_metrics=[
      tf.keras.metrics.SparseCategoricalCrossentropy(name='loss_of_all'),
      tf.keras.metrics.SparseTopKCategoricalAccuracy(300, name='top_300'),
    ],
  )
  options = {'image_size': 8, 'resize_size': 8}
  padded = pipeline.evaluation_dataset(builder, 5, last_batch='pad', **options)
  found = model.evaluate(padded, verbose=0, return_dict=True)
  images = images_in(pipeline.evaluation_dataset(builder, 8, **options))
  predicted = model(images).numpy()
  losses = -np.log(predicted[range(8), LABELS])
  assert found['loss_of_all'] == pytest.approx(losses.mean(), rel=1e-5)
  ranks = (predicted > predicted[range(8), LABELS][:, None]).sum(-1)
  assert 0 < (ranks < 300).sum() < 8
  assert found['top_300'] == pytest.approx((ranks < 300).mean())


READ = [
  lambda folder: pipeline.evaluation_dataset(folder, 3),
  lambda folder: pipeline.training_dataset(folder, 3, image_size=8),
  lambda folder: legacy.input_fn(folder, 3, 8, 8),
]


@pytest.mark.parametrize('read', READ[:2])
@pytest.mark.parametrize(
  ('keep', 'says'),
  [
    # TensorFlow takes the first two for the end of the file.
    (lambda first, size: first, '1 records, expected 3 as TFDS says. Copy or'),
    (
      lambda first, size: first + 5,
      'record 1 at byte {}: file ends within a record header of 12 bytes',
    ),
    (
      lambda first, size: first + 99,
      'record 1 at byte {}: file ends within this record, ',
    ),
    (lambda first, size: 0, '0 records, expected 3 as TFDS says'),
  ],
)
def test_a_cut_shard_is_named(tmp_path, builder, read, keep, says):
  shutil.copytree(builder.data_path, tmp_path, dirs_exist_ok=True)
  last = max(tmp_path.glob('*.tfrecord-*'))
  (length,) = struct.unpack_from('<Q', last.read_bytes())
  first = 12 + length + 4
  os.truncate(last, keep(first, last.stat().st_size))
  with pytest.raises(errors.InputError) as e:
    read(tmp_path)
  assert str(e.value).startswith(f'{last}: {says.format(first)}')


def test_sizes_that_are_not_as_tfds_says(tmp_path, builder):
  shutil.copytree(builder.data_path, tmp_path, dirs_exist_ok=True)
  last = max(tmp_path.glob('*.tfrecord-*'))
  with tf.io.TFRecordWriter(os.fspath(last)) as writer:
    for _ in range(3):
      writer.write(record(making.picture()))
  with pytest.raises(errors.InputError, match='bytes, expected '):
    pipeline.evaluation_dataset(tmp_path, 3)


def test_what_tfds_wrote_itself_is_read(tmp_path, monkeypatch):
  """It does not count what frames a record."""
  monkeypatch.setattr(
    imagenet_val_tfrec.Builder,
    'download_and_prepare',
    tfds.core.GeneratorBasedBuilder.download_and_prepare,
  )
  builder = imagenet_val_tfrec.Builder(data_dir=tmp_path)
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=making.DUMMY)
  )
  assert labels_in(pipeline.evaluation_dataset(builder, 3)) == LABELS


@pytest.mark.parametrize('read', READ)
@pytest.mark.parametrize(
  ('number', 'size', 'says'),
  [
    (1, 0, 'an empty file, expected records'),
    (1, 1, '1 records, expected 2 as in the other files'),
    (2, 1.5, 'record 1 at byte '),
    (3, 3, '3 records, expected 2 at most, as in the files before'),
  ],
)
def test_a_cut_raw_file_is_named(tmp_path, read, number, size, says):
  small = record(ramp(6, 6))
  files = [[small] * 2 for _ in range(4)]
  files[number] = [small] * math.ceil(size)
  path = write_raw(tmp_path, *files) / f'data_{number}.tfrecord'
  if size % 1:
    os.truncate(path, path.stat().st_size - 9)
  with pytest.raises(errors.InputError) as e:
    read(tmp_path)
  assert str(e.value).startswith(f'{path}: {says}')


def test_parallelism_is_fixed_unless_asked_otherwise(builder):
  fixed = pipeline.evaluation_dataset(builder, 3, num_parallel_calls=1)
  assert not fixed.options().autotune.enabled
  tuned = pipeline.evaluation_dataset(builder, 3, autotune=True)
  assert tuned.options().autotune.enabled
  assert labels_in(fixed) == labels_in(tuned) == LABELS


# --- training ---


def numbered(dataset) -> list[tuple[float, int]]:
  """Returns each example as a number that tells its pixels, and its label."""
  return [
    (float(np.vdot(image, np.arange(image.size)) / image.size), int(label))
    for images, labels in dataset.as_numpy_iterator()
    for image, label in zip(images, labels, strict=True)
  ]


def test_epochs_follow_from_seed_and_number(builder):
  def epochs(**options):
    return numbered(
      pipeline.training_dataset(builder, 2, image_size=16, **options)
    )

  three = epochs(seed=5, epochs=3)
  assert three == epochs(seed=5, epochs=3)
  first, second, third = three[:8], three[8:16], three[16:]
  assert epochs(seed=5, epochs=2, first_epoch=1) == [*second, *third]
  assert epochs(seed=5, epochs=1) == first
  for epoch in (first, second, third):
    assert sorted(label for _, label in epoch) == sorted(LABELS)
  orders = {tuple(label for _, label in e) for e in (first, second, third)}
  assert len(orders) == 3
  other = epochs(seed=2**40, epochs=3)
  assert set(other).isdisjoint(three)  # Other crops of the same examples.
  assert len(set(three)) == 24


def test_order_and_what_is_left_out_change_with_the_epoch(tmp_path):
  small = ramp(6, 6)
  source = write_raw(tmp_path, [record(small, n) for n in range(23)])

  def epochs(seed: int) -> list[tuple[int, ...]]:
    dataset = pipeline.training_dataset(
      source, 5, image_size=8, seed=seed, epochs=4
    )
    labels = labels_in(dataset)
    return [tuple(labels[n : n + 20]) for n in range(0, 80, 20)]

  found = epochs(1)
  assert len(set(found)) == 4
  left_out = {frozenset(range(23)) - set(epoch) for epoch in found}
  assert [len(labels) for labels in left_out] == [3] * 4
  assert epochs(1) == found
  assert set(epochs(2)).isdisjoint(found)


def test_epochs_do_not_depend_on_the_global_seed(builder, monkeypatch):
  found = []
  for global_seed in (None, 0, 5, 2**31 - 1):
    # There is no public way to unset it.
    monkeypatch.setattr(context.context(), '_seed', global_seed)
    dataset = pipeline.training_dataset(builder, 4, image_size=8, epochs=2)
    found.append(numbered(dataset))
    assert context.global_seed() == global_seed
  assert found == [found[0]] * 4


def test_order_and_crops_do_not_depend_on_parallelism(builder):
  one, many = (
    numbered(
      pipeline.training_dataset(
        builder, 4, image_size=16, epochs=2, num_parallel_calls=number
      )
    )
    for number in (1, 16)
  )
  assert one == many


def test_epochs_go_on_without_end(raw):
  dataset = pipeline.training_dataset(raw, 5, image_size=8)
  assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
  labels = labels_in(dataset.take(7))
  # Two batches an epoch; two of twelve examples are left out of each.
  for start in (0, 10, 20):
    assert len(set(labels[start : start + 10])) == len(
      labels[start : start + 10]
    )


def test_epochs_are_counted(builder, raw):
  dataset = pipeline.training_dataset(builder, 3, epochs=4)
  assert len(dataset) == 8
  assert len(list(pipeline.training_dataset(raw, 5, epochs=4))) == 8
  assert dataset.element_spec == (
    tf.TensorSpec([3, 224, 224, 3], tf.float32),
    tf.TensorSpec([3], tf.int32),
  )


def test_a_crop_of_all_is_the_image_or_its_mirror(tmp_path):
  image = ramp(40, 40)
  source = write_raw(tmp_path, [record(image)])
  whole = defined(image, False, size=32, resize_size=32)
  images = images_in(
    pipeline.training_dataset(
      source,
      1,
      image_size=32,
      epochs=20,
      area=(1, 1),
      aspect_ratio=(1, 1),
    )
  )
  mirrored = [bool(image[0, 0, 0] > image[0, -1, 0]) for image in images]
  assert 2 < sum(mirrored) < 18
  for found, flip in zip(images, mirrored, strict=True):
    expected = whole[:, ::-1] if flip else whole
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_crops_keep_to_the_asked_area_and_shape():
  """A ramp tells where its crop was: its colours are coordinates."""
  area, aspect_ratio = (0.2, 0.5), (0.5, 2.0)
  side = 400
  for seed in range(40):
    found, _ = pipeline.preprocess(
      record(ramp(side, side)),
      mode='random',
      seed=[seed, 0],
      image_size=100,
      area=area,
      aspect_ratio=aspect_ratio,
    )
    width = abs(found[50, -1, 0] - found[50, 0, 0]) / 255 / 0.99
    height = abs(found[-1, 50, 1] - found[0, 50, 1]) / 255 / 0.99
    assert 0.18 < width * height < 0.54
    assert 0.45 < width / height < 2.2


def test_a_small_buffer_still_shuffles(raw):
  dataset = pipeline.training_dataset(
    raw, 12, image_size=8, epochs=1, shuffle_buffer=1
  )
  labels = labels_in(dataset)
  assert sorted(labels) == list(range(12))
  assert labels != list(range(12))


def test_training_takes_splits_offsets_and_transforms(builder):
  dataset = pipeline.training_dataset(
    builder,
    2,
    split='validation[:50%]',
    epochs=1,
    label_offset=1,
    antialias=True,
    transform=lambda images: images / 255,
  )
  assert sorted(labels_in(dataset)) == sorted(n + 1 for n in LABELS[:4])
  assert images_in(dataset).max() <= 1.001


# --- what is refused ---


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (
      {'image_size': 224, 'resize_size': 200},
      'image_size is 224 and resize_size 200',
    ),
    (
      {'image_size': (100, 300)},
      'image_size is (100, 300) and resize_size 256',
    ),
    ({'image_size': 0}, 'image_size is 0, expected an integer, 1 or more'),
    ({'mode': 'quick'}, "mode is 'quick', expected one of 'exact', 'fast'"),
    ({'mode': 'random'}, "mode is 'random', expected 'exact' or 'fast'"),
    (
      {'last_batch': 'fill'},
      "last_batch is 'fill', expected one of 'keep', 'drop', 'pad'",
    ),
    ({'batch_size': 0}, 'batch_size is 0, expected an integer, 1 or more'),
    (
      {'label_offset': -1},
      'label_offset is -1, expected an integer, 0 or more',
    ),
    ({'image_size': (8, 8, 3)}, 'image_size is (8, 8, 3), expected one or two'),
    ({'image_size': 8.5}, 'image_size is 8.5, expected an integer'),
    (
      {'num_parallel_calls': 0},
      'num_parallel_calls is 0, expected an integer, 1 or more',
    ),
    (
      {'last_batch': 'drop', 'batch_size': 9},
      'batch_size is 9, but there are only 8 examples in ',
    ),
    ({'split': 'validation[8:]'}, 'which holds no example'),
  ],
  ids=str,
)
def test_bad_options_of_evaluation(builder, options, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    pipeline.evaluation_dataset(builder, **{'batch_size': 3, **options})


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (
      {'batch_size': 9},
      'batch_size is 9, but there are only 8 examples in ',
    ),
    ({'image_size': 0}, 'image_size is 0, expected an integer, 1 or more'),
    ({'epochs': 0}, 'epochs is 0, expected an integer, 1 or more'),
    ({'first_epoch': -1}, 'first_epoch is -1, expected an integer, 0 or more'),
    ({'shuffle_buffer': 0}, 'shuffle_buffer is 0, expected an integer, 1 or'),
    (
      {'num_parallel_calls': -2},
      'num_parallel_calls is -2, expected an integer, 1 or more',
    ),
    ({'seed': 0.5}, 'seed is 0.5, expected an integer, from -9223372036854775'),
    ({'seed': 2**63}, 'seed is 9223372036854775808, expected an integer, from'),
    ({'area': (0.5, 0.2)}, 'area is from 0.5 to 0.2'),
    ({'area': (0.5, 1.2)}, 'area is from 0.5 to 1.2'),
    ({'aspect_ratio': (0, 1)}, 'aspect_ratio is from 0 to 1'),
  ],
  ids=str,
)
def test_bad_options_of_training(builder, options, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    pipeline.training_dataset(builder, **{'batch_size': 3, **options})


def test_integers_may_be_those_of_numpy(builder):
  three, size = np.int64(3), np.int32(16)
  options = {
    'image_size': size,
    'label_offset': np.int8(1),
    'num_parallel_calls': three,
  }
  evaluation = pipeline.evaluation_dataset(
    builder, three, resize_size=size, last_batch='pad', **options
  )
  assert labels_in(evaluation)[:8] == [label + 1 for label in LABELS]
  training = pipeline.training_dataset(
    builder,
    three,
    seed=np.uint8(3),
    epochs=three,
    first_epoch=three,
    shuffle_buffer=three,
    **options,
  )
  assert images_in(training).shape == (18, 16, 16, 3)


def test_parallel_calls_may_be_autotuned(builder):
  dataset = pipeline.evaluation_dataset(
    builder, 3, num_parallel_calls=tf.data.AUTOTUNE
  )
  assert labels_in(dataset) == LABELS


@pytest.mark.parametrize(
  'read_it',
  [
    lambda folder: pipeline.training_dataset(folder, 5),
    lambda folder: pipeline.evaluation_dataset(folder, 5, last_batch='drop'),
  ],
)
@pytest.mark.parametrize('number', [4, 5])
def test_records_are_read_to_count_only_where_they_must(
  tmp_path, monkeypatch, read_it, number
):
  source = write_raw(tmp_path, [record(ramp(6, 6))] * number)
  reads = []
  in_order = read_lib.read_in_order
  monkeypatch.setattr(
    read_lib,
    'read_in_order',
    lambda shards: reads.append(1) or in_order(shards),
  )
  known = read_lib.find_files(source, 'validation')
  read_lib.check_batch(known, 'validation', number)
  assert not reads
  # As of files that are far away.
  unknown = known._replace(total=None)
  monkeypatch.setattr(read_lib, 'find_files', lambda *args: unknown)
  if number == 5:
    assert read_it(source)
  else:
    with pytest.raises(ValueError, match='5, but there are fewer examples in'):
      read_it(source)
  assert reads


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'mode': 'random'}, "seed is None and mode 'random'"),
    ({'seed': [1, 2]}, "seed is [1, 2] and mode 'exact'"),
  ],
)
def test_a_seed_is_for_random_crops(options, message):
  with pytest.raises(ValueError, match=re.escape(message)):
    pipeline.preprocess(record(making.picture()), **options)


def test_bad_sources(tmp_path, builder, raw):
  def evaluate(source, **options):
    return pipeline.evaluation_dataset(source, 3, **options)

  with pytest.raises(FileNotFoundError, match=r'no file \*.tfrecord') as raised:
    evaluate(tmp_path)
  assert 'dataset_info.json' in str(raised.value)
  with pytest.raises(FileNotFoundError, match='nowhere'):
    evaluate(tmp_path / 'nowhere')
  with pytest.raises(ValueError, match='is not prepared'):
    evaluate(imagenet_val_tfrec.Builder(data_dir=tmp_path))
  with pytest.raises(ValueError, match=r"'validation\[:2\]'.* raw files"):
    evaluate(raw, split='validation[:2]')
  with pytest.raises(ValueError, match="'test'"):
    evaluate(builder, split='test')
  for read in (evaluate, lambda folder: legacy.input_fn(folder, 3, 8, 8)):
    with pytest.raises(ValueError, match='TensorFlow does not read s3://'):
      read('s3://bucket/folder')


def test_other_formats_and_features_are_refused(tmp_path):
  images = making.write_folder(tmp_path / 'images', making.many(2))
  label_file = tmp_path / 'labels.txt'
  label_file.write_text(making.label_text(making.many(2)))
  builder = imagenet_val_tfrec.Builder(
    data_dir=tmp_path / 'data',
    file_format='array_record',
    config=imagenet_val_tfrec.ImagenetValTfrecConfig(
      name='made', image_dir=images, label_file=label_file
    ),
  )
  builder.download_and_prepare()
  with pytest.raises(ValueError, match=r"'array_record'.*tfds\.data_source"):
    pipeline.evaluation_dataset(builder, 3)
  other = tfds.testing.DummyDataset(data_dir=tmp_path)
  other.download_and_prepare()
  with pytest.raises(ValueError, match='lacks the features label, height'):
    pipeline.evaluation_dataset(other, 3)
