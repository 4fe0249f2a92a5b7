"""Images of any format, from a build to all that reads them."""

import io
import pathlib

import making
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

import imagenet_val_tfrec
from imagenet_val_tfrec import (
  images_to_tfrec,
  legacy,
  pipeline,
  recipes,
  verify,
)
from imagenet_val_tfrec.core import errors

PIXELS = np.kron(
  np.arange(2, 242, 10).reshape(2, 3, 4), np.ones((150, 100, 1))
).astype(np.uint8)
ALL = ['jpeg', 'png', 'webp', 'gif']


def encode(kind: str, chans: int = 3, **options) -> bytes:
  out = io.BytesIO()
  Image.fromarray(PIXELS[..., :chans]).save(out, kind, **options)
  return out.getvalue()


FILES = {
  'a.png': encode('PNG'),
  'alpha.png': encode('PNG', 4),
  'a.webp': encode('WEBP', lossless=True),
  'a.gif': encode('GIF'),
  'a.jpg': encode('JPEG', quality=100, subsampling=0),
}


@pytest.fixture(scope='module')
def builder(tmp_path_factory):
  return build(tmp_path_factory.mktemp('data'), formats=ALL, decode_check=True)


def build(folder: pathlib.Path, files=FILES, **config):
  images = making.write_folder(folder / 'images', files)
  (folder / 'l.txt').write_text(making.label_text(files, 9))
  return making.build(
    folder, image_dir=images, label_file=folder / 'l.txt', **config
  )


def records(builder) -> tf.data.Dataset:
  paths = map(str, builder.info.splits['validation'].filepaths)
  return tf.data.TFRecordDataset([*paths])


def test_tfds_decodes_all_to_one_shape(builder):
  for reader in (builder, tfds.builder_from_directory(builder.data_dir)):
    (batch,) = reader.as_dataset(split='validation').batch(9)
    assert batch['image'].shape == (5, 300, 300, 3)
    assert batch['chans'].numpy().tolist() == [3, 4, 3, 3, 3]
    for i in range(3):
      np.testing.assert_array_equal(batch['image'][i], PIXELS[..., :3])
    difference = batch['image'].numpy() - PIXELS[..., :3].astype(float)
    assert np.abs(difference).max() < 11


def test_bytes_are_those_of_the_files(builder):
  decoders = {'image': tfds.decode.SkipDecoding()}
  dataset = builder.as_dataset(split='validation', decoders=decoders)
  assert [e['image'].numpy() for e in dataset] == [*FILES.values()]


def test_the_parser_and_verify_read_all(builder):
  parsed = records(builder).map(legacy.parser).batch(9)
  assert next(iter(parsed))[0].shape == (5, 300, 300, 3)
  assert verify.verify(builder.data_dir, decode=True).findings == []


@pytest.mark.parametrize(
  ('mode', 'antialias'),
  [('exact', False), ('exact', True), ('fast', False), ('random', False)],
)
def test_preprocess_makes_the_same_of_all(builder, mode, antialias):
  seed = [1, 2] if mode == 'random' else None

  def preprocess(record):
    return pipeline.preprocess(
      record, mode=mode, antialias=antialias, seed=seed
    )[0]

  png, _, webp, gif, jpeg = records(builder).map(preprocess)
  np.testing.assert_array_equal(png, webp)
  assert np.abs(png - gif).max() < 11
  assert np.abs(png - jpeg).mean() < (2 if mode == 'exact' else 5)


def test_recipes_read_all(builder):
  recipe = recipes.Recipe(convention='pillow', interpolation='bicubic')
  dataset = pipeline.evaluation_dataset(
    builder.data_dir, batch_size=5, recipe=recipe
  )
  images, *_ = next(iter(dataset))
  for i, data in enumerate(FILES.values()):
    whole = Image.open(io.BytesIO(data)).convert('RGB')
    whole = whole.resize((256, 256), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(images[i], whole.crop((16, 16, 240, 240)))


def test_the_default_is_jpeg_and_png(tmp_path):
  two = {name: FILES[name] for name in ('a.png', 'a.jpg')}
  builder = build(tmp_path, two)
  assert type(builder.info.features['image']) is tfds.features.Image
  assert making.labels_in(builder) == [0, 1]
  with pytest.raises(errors.InputError, match='not a JPEG or PNG but a GIF'):
    build(tmp_path / 'other', FILES | two)
  with pytest.raises(errors.InputError, match='made of the formats jpeg, png'):
    build(tmp_path, two, formats=['jpeg'])


@pytest.mark.parametrize('formats', ['png', [], ['bmp'], [['png']]])
def test_formats_must_be_known(tmp_path, formats):
  with pytest.raises(errors.InputError, match='expected a list of jpeg, png, '):
    build(tmp_path, {}, formats=formats)


# --- names ---


def test_names_are_a_sixth_feature(tmp_path):
  files = {f'ä/{name}': FILES[name] for name in ('a.png', 'a.jpg')}
  builder = build(tmp_path, files, with_names=True)
  assert [*builder.info.features][5:] == ['file_name']
  dataset = builder.as_dataset(split='validation')
  assert [e['file_name'].numpy().decode() for e in dataset] == [*files]
  assert len([*records(builder).map(legacy.parser)]) == 2
  assert verify.verify(builder.data_dir, decode=True).findings == []
  # As TFDS would write them.
  (generator,) = builder._split_generators(None).values()
  info = builder.info.features
  (encoded, _) = [info.encode_example(example) for _, example in generator]
  assert encoded['file_name'] == 'ä/a.png'.encode()
  with pytest.raises(errors.InputError, match='this dataset has the features '):
    build(tmp_path, files)


def test_older_files_hold_no_names(tmp_path):
  config = imagenet_val_tfrec.ImagenetValTfrecConfig(
    name='made', num_classes=9, with_names=True
  )
  images_to_tfrec.make_tfrec(
    image_dir=str(making.DUMMY / 'val_images'),
    label_file=str(making.DUMMY / 'val.txt'),
    tfrec_dir=str(tmp_path / 'raw'),
  )
  with pytest.raises(errors.InputError, match='older files hold no names'):
    legacy.adopt(tmp_path / 'raw', tmp_path / 'data', config=config)
