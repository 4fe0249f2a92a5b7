"""The other ways to the same data: stock TFDS builders and the old loop."""

from __future__ import annotations

import io
import os
import pathlib
import tarfile

import tensorflow as tf
import tensorflow_datasets as tfds

from imagenet_val_tfrec.records import jpeg

_RECORDS_PER_FILE = 5000  # The old script's default.


def read_labels(label_file: pathlib.Path) -> list[tuple[str, int]]:
  """Returns the names and labels, in the file's order."""
  lines = label_file.read_text().splitlines()
  return [(name, int(label)) for name, label in map(str.split, lines)]


def _example(label: int, data: bytes) -> dict[str, object]:
  shape = jpeg.read_shape(data)
  return {
    'label': label,
    'height': shape.height,
    'width': shape.width,
    'chans': shape.chans,
    'image': io.BytesIO(data),
  }


class _Stock(tfds.core.GeneratorBasedBuilder):
  """A builder as TFDS's guide teaches it."""

  VERSION = tfds.core.Version('1.0.0')
  MANUAL_DOWNLOAD_INSTRUCTIONS = 'ILSVRC2012_img_val.tar and val.txt'
  ORDERED = False

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      features=tfds.features.FeaturesDict(
        {
          'label': tfds.features.ClassLabel(num_classes=1000),
          'height': tf.int64,
          'width': tf.int64,
          'chans': tf.int64,
          'image': tfds.features.Image(encoding_format='jpeg'),
        }
      ),
      disable_shuffling=self.ORDERED,
    )

  def _split_generators(self, dl_manager):
    return {'validation': self._generate_examples(dl_manager.manual_dir)}

  def _key(self, index: int, images: int) -> int | str:
    raise NotImplementedError

  def _generate_examples(self, data):
    labels = read_labels(data / 'val.txt')
    with tarfile.open(data / 'ILSVRC2012_img_val.tar') as tar:
      members = {member.name: member for member in tar}
      for index, (name, label) in enumerate(labels):
        image = tar.extractfile(members[name]).read()
        key = self._key(index, len(labels))
        yield key, _example(label, image)


class StockShuffled(_Stock):
  """TFDS's default."""

  def _key(self, index, images):
    return f'{index:08d}'


class StockOrdered(_Stock):
  """In order, by the keys that come to mind: all fall in one bucket."""

  ORDERED = True

  def _key(self, index, images):
    return index


class StockSpread(_Stock):
  """In order, by keys that fill all of TFDS's buckets evenly."""

  ORDERED = True

  def _key(self, index, images):
    return index * (2**128 // images)


class StockBeam(_Stock):
  """TFDS's own Beam writer, on images in a folder."""

  def _generate_examples(self, data):
    # Not installed everywhere, and only this one needs it.
    import apache_beam as beam

    def read(name_and_label):
      name, label = name_and_label
      image = (data / 'val_images' / name).read_bytes()
      return name, _example(label, image)

    return beam.Create(read_labels(data / 'val.txt')) | beam.Map(read)


def write_old_files(
  images: pathlib.Path, label_file: pathlib.Path, out: pathlib.Path
) -> None:
  """Writes TFRecord files as the old `images_to_tfrec.py` documents it."""
  labels = read_labels(label_file)
  for number, start in enumerate(range(0, len(labels), _RECORDS_PER_FILE)):
    path = os.fspath(out / f'data_{number}.tfrecord')
    with tf.io.TFRecordWriter(path) as writer:
      for name, label in labels[start : start + _RECORDS_PER_FILE]:
        writer.write(_old_record(os.fspath(images / name), label))


def _old_record(path: str, label: int) -> bytes:
  image = tf.io.read_file(path)
  height, width, chans = tf.io.extract_jpeg_shape(image).numpy()
  feature = {
    name: tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
    for name, value in (
      ('label', label),
      ('height', height),
      ('width', width),
      ('chans', chans),
    )
  }
  feature['image'] = tf.train.Feature(
    bytes_list=tf.train.BytesList(value=[image.numpy()])
  )
  features = tf.train.Features(feature=feature)
  return tf.train.Example(features=features).SerializeToString()
