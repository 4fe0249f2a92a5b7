"""The older files' parser and input pipeline, on files and on our shards."""

import io
import shutil

import making
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

import imagenet_val_tfrec
from imagenet_val_tfrec import images_to_tfrec, legacy
from imagenet_val_tfrec.core import errors

DUMMY = making.ROOT / 'dummy_data'
LABELS = [985, 417, 970, 978, 971, 599, 920, 879]


@pytest.fixture(scope='module')
def raw(tmp_path_factory) -> str:
  """A folder of raw files, with one example in each but the last."""
  folder = tmp_path_factory.mktemp('raw')
  images_to_tfrec.make_tfrec(
    image_dir=str(DUMMY / 'val_images'),
    label_file=str(DUMMY / 'val.txt'),
    tfrec_dir=str(folder),
    img_shard=1,
  )
  return str(folder)


def record_of(image: bytes, height: int, width: int, chans: int = 3) -> bytes:
  def integer(value):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

  features = {
    'label': integer(7),
    'height': integer(height),
    'width': integer(width),
    'chans': integer(chans),
    'image': tf.train.Feature(bytes_list=tf.train.BytesList(value=[image])),
  }
  return tf.train.Example(
    features=tf.train.Features(feature=features)
  ).SerializeToString()


def picture(height, width, mode='RGB', kind='JPEG') -> bytes:
  out = io.BytesIO()
  Image.new(mode, (width, height)).save(out, kind)
  return out.getvalue()


@pytest.mark.parametrize('mode', ['RGB', 'L', 'CMYK'])
@pytest.mark.parametrize('eager', [True, False])
def test_parser(mode, eager):
  record = record_of(picture(20, 30, mode), 20, 30)
  if eager:
    image, label = legacy.parser(tf.constant(record))
  else:
    dataset = tf.data.Dataset.from_tensors(record).map(legacy.parser)
    assert dataset.element_spec[0].shape.as_list() == [None, None, 3]
    ((image, label),) = dataset
  assert image.shape == (20, 30, 3)
  assert image.dtype == tf.uint8
  assert label.dtype == tf.int32
  assert int(label) == 7


@pytest.mark.parametrize('kind', ['PNG', 'GIF', 'BMP'])
def test_parser_decodes_what_old_files_may_hold(kind):
  image, _ = legacy.parser(
    tf.constant(record_of(picture(8, 9, kind=kind), 8, 9))
  )
  assert image.shape == (8, 9, 3)


@pytest.mark.parametrize(
  'record',
  [
    record_of(picture(20, 30), 30, 20),
    record_of(picture(20, 30), 20, 31),
    record_of(picture(20, 30), 20 + 2**32, 30),
    record_of(b'not an image', 20, 30),
    record_of(picture(20, 30)[:-40], 20, 30),
    b'not an example',
  ],
  # Not by the bytes: protobuf orders a map's entries anew in each process.
  ids=range(6),
)
def test_parser_refuses(record):
  with pytest.raises(tf.errors.InvalidArgumentError):
    legacy.parser(tf.constant(record))


def test_parser_reads_our_shards(tmp_path):
  builder = imagenet_val_tfrec.Builder(data_dir=tmp_path)
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=DUMMY)
  )
  (shard,) = builder.info.splits['validation'].filepaths
  ours = list(tf.data.TFRecordDataset(str(shard)).map(legacy.parser))
  theirs = list(builder.as_dataset(split='validation', as_supervised=True))
  assert [int(label) for _, label in ours] == LABELS
  for (image, _), (expected, _) in zip(ours, theirs, strict=True):
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
  ('batchsize', 'drop_remainder', 'expected'),
  [(3, True, [3, 3]), (3, False, [3, 3, 2]), (8, True, [8])],
)
def test_input_fn_keeps_the_order(raw, batchsize, drop_remainder, expected):
  dataset = legacy.input_fn(
    raw, batchsize, 32, 48, drop_remainder=drop_remainder
  )
  batches = list(dataset)
  assert [len(labels) for _, labels in batches] == expected
  assert all(images.shape[1:] == (32, 48, 3) for images, _ in batches)
  assert all(images.dtype == tf.float32 for images, _ in batches)
  found = [int(label) for _, labels in batches for label in labels]
  assert found == LABELS[: sum(expected)]


def test_input_fn_shuffles_repeats_and_preprocesses(raw):
  def preprocess(image, label):
    return tf.image.resize(image, [8, 8]) / 255, label

  dataset = legacy.input_fn(
    raw, 8, 8, 8, preprocess=preprocess, shuffle_buffer=8, seed=3, repeat=True
  )
  batches = list(dataset.take(3))
  assert len(batches) == 3
  assert float(tf.reduce_max(batches[0][0])) <= 1
  assert sorted(batches[0][1].numpy()) == sorted(LABELS)
  assert batches[0][1].numpy().tolist() != LABELS
  again = list(
    legacy.input_fn(
      raw, 8, 8, 8, preprocess=preprocess, shuffle_buffer=8, seed=3
    )
  )
  np.testing.assert_array_equal(batches[0][1], again[0][1])


def test_input_fn_reads_the_older_files_whatever_else_is_there(raw, tmp_path):
  shutil.copytree(raw, tmp_path, dirs_exist_ok=True)
  legacy.adopt(tmp_path, tmp_path)
  (tmp_path / 'imagenet_val_tfrec' / 'imagenet2012').rename(tmp_path / 'away')
  (_, labels), *_ = legacy.input_fn(tmp_path, 8, 8, 8)
  assert labels.numpy().tolist() == LABELS


def test_input_fn_feeds_keras(raw):
  model = tf.keras.Sequential(
    [
      tf.keras.layers.Rescaling(1 / 255),
      tf.keras.layers.GlobalAveragePooling2D(),
      tf.keras.layers.Dense(1000),
    ]
  )
  model.compile(
    loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
  )
  batches = legacy.input_fn(raw, 4, 16, 16)
  assert model.fit(batches, shuffle=False, verbose=0).history['loss']
  assert model.evaluate(legacy.input_fn(raw, 4, 16, 16), verbose=0) > 0


def test_input_fn_refuses_gaps_and_empty_folders(tmp_path):
  with pytest.raises(FileNotFoundError, match='no file'):
    legacy.input_fn(tmp_path, 1, 8, 8)
  for number in (0, 2):
    (tmp_path / f'data_{number}.tfrecord').touch()
  with pytest.raises(errors.InputError, match=r'data_1\.tfrecord'):
    legacy.input_fn(tmp_path, 1, 8, 8)
