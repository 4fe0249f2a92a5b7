"""Recipes: the pixels of Pillow and OpenCV, scaling, and those of known models.

Of `resampling` and `options`, too.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import io
import types

import cv2
import keras
import making
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

import imagenet_val_tfrec
from imagenet_val_tfrec import pipeline, recipes
from imagenet_val_tfrec.pipeline import preprocessing

PIL_FILTERS = {
  'bilinear': Image.Resampling.BILINEAR,
  'bicubic': Image.Resampling.BICUBIC,
}
CV_FLAGS = {'bilinear': cv2.INTER_LINEAR, 'bicubic': cv2.INTER_CUBIC}


# --- pictures ---


def picture(width: int, height: int, mode: str = 'RGB', **options) -> bytes:
  """Returns a JPEG, of smooth areas at the left, and dots at the right."""
  rng = np.random.default_rng(width * height)
  bands = len(Image.new(mode, (1, 1)).getbands())
  few = rng.integers(0, 256, (height // 9 + 2, width // 9 + 2, bands), np.uint8)
  pixels = np.repeat(np.repeat(few, 9, 0), 9, 1)[:height, :width]
  dots = rng.integers(0, 2, (height, width - width // 2, bands), np.uint8)
  pixels[:, width // 2 :] = 255 * dots
  file = io.BytesIO()
  image = Image.fromarray(pixels.squeeze(2) if bands == 1 else pixels, mode)
  image.save(file, 'JPEG', **{'quality': 90, **options})
  return file.getvalue()


PICTURES = {
  **{
    f'{width}x{height}': picture(width, height)
    for width, height in (
      *((1, 1), (1, 40), (3, 40), (40, 4), (2, 3), (2000, 7), (30, 1500)),
      *((500, 375), (333, 500), (224, 224), (256, 256), (512, 512), (257, 255)),
      *((320, 240), (432, 288), (1600, 1200)),  # Ratios of small numbers.
    )
  },
  'gray': picture(401, 300, 'L'),
  'cmyk': picture(301, 400, 'CMYK'),
  'progressive': picture(501, 377, progressive=True),
  '4:4:4': picture(501, 377, subsampling=0),
  '4:2:2': picture(377, 501, subsampling=1),
  **{f'dummy {kind}': making.picture(kind) for kind in making.KINDS},
}


def reference(jpeg: bytes, recipe: recipes.Recipe) -> np.ndarray:
  """What the library itself makes of it, and torchvision's sides and crop."""
  flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
  if recipe.convention == 'pillow':
    pixels = np.asarray(Image.open(io.BytesIO(jpeg)).convert('RGB'))
  else:
    pixels = cv2.imdecode(np.frombuffer(jpeg, np.uint8), flags)[:, :, ::-1]
  height, width = pixels.shape[:2]
  if isinstance(recipe.resize_size, tuple):
    high, wide = recipe.resize_size
  elif width <= height:
    high, wide = int(recipe.resize_size * height / width), recipe.resize_size
  else:
    high, wide = recipe.resize_size, int(recipe.resize_size * width / height)
  if recipe.convention == 'pillow':
    resample = PIL_FILTERS[recipe.interpolation]
    pixels = np.asarray(Image.fromarray(pixels).resize((wide, high), resample))
  else:
    flag = CV_FLAGS[recipe.interpolation]
    pixels = np.ascontiguousarray(pixels)
    pixels = cv2.resize(pixels, (wide, high), interpolation=flag)
  size = np.broadcast_to(recipe.image_size, 2)
  top, left = (
    round((side - crop) / 2)
    for side, crop in zip((high, wide), map(int, size), strict=True)
  )
  return pixels[top : top + size[0], left : left + size[1]].astype(int)


@functools.cache
def following(recipe: recipes.Recipe):
  """Returns a function of (image, height, width), traced once."""

  def follow(image, height, width):
    fields = {'image': image, 'height': height, 'width': width}
    fields['label'] = tf.constant(7, tf.int64)
    return preprocessing.follow(recipe, fields)[0]

  signature = [tf.TensorSpec([], t) for t in (tf.string, tf.int64, tf.int64)]
  return tf.function(follow, signature)


def followed(jpeg: bytes, recipe: recipes.Recipe) -> np.ndarray:
  width, height = Image.open(io.BytesIO(jpeg)).size
  return following(recipe)(jpeg, height, width).numpy()


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
  assert found.shape == expected.shape
  np.testing.assert_array_equal(found, np.round(found))
  difference = np.abs(found - expected)
  assert difference.max() <= 1
  assert np.mean(difference == 0) >= 0.99


@pytest.mark.parametrize('name', PICTURES)
@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
@pytest.mark.parametrize('convention', ['pillow', 'opencv'])
def test_pixels_are_those_of_the_library(convention, interpolation, name):
  recipe = recipes.Recipe(convention=convention, interpolation=interpolation)
  found = followed(PICTURES[name], recipe)
  assert_same(found, reference(PICTURES[name], recipe))


@pytest.mark.parametrize('interpolation', ['bilinear', 'bicubic'])
@pytest.mark.parametrize('convention', ['pillow', 'opencv'])
@pytest.mark.parametrize(
  ('image_size', 'resize_size'),
  [((97, 224), 224), (299, 341), ((128, 96), (150, 96)), (7, 600)],
)
def test_other_sizes_and_channels_first(
  convention, interpolation, image_size, resize_size
):
  recipe = recipes.Recipe(
    image_size=image_size,
    resize_size=resize_size,
    interpolation=interpolation,
    convention=convention,
    channels_first=True,
  )
  found = followed(PICTURES['progressive'], recipe)
  expected = reference(PICTURES['progressive'], recipe)
  assert_same(found.transpose(1, 2, 0), expected)


@pytest.mark.parametrize('name', ['500x375', 'gray', 'cmyk', '1x1'])
def test_tensorflow_convention_is_exact_to_the_bit(name):
  jpeg = PICTURES[name]
  width, height = Image.open(io.BytesIO(jpeg)).size
  fields = {'image': tf.constant(jpeg), 'label': tf.constant(7, tf.int64)}
  fields |= {
    'height': tf.constant(height, tf.int64),
    'width': tf.constant(width, tf.int64),
  }
  exact, _ = pipeline.preprocess(fields)
  np.testing.assert_array_equal(followed(jpeg, recipes.Recipe()), exact)


def test_tensorflow_convention_bicubic_and_whole():
  recipe = recipes.Recipe(resize_size=(256, 240), interpolation='bicubic')
  jpeg = PICTURES['500x375']
  whole = tf.image.resize(tf.io.decode_jpeg(jpeg, 3), (256, 240), 'bicubic')
  found = followed(jpeg, recipe)
  np.testing.assert_array_equal(found, whole[16:240, 8:232])


@pytest.mark.parametrize('channels_first', [False, True])
@pytest.mark.parametrize(
  ('scaling', 'scaled'),
  [
    ('none', lambda x: x),
    ('tf', keras.applications.mobilenet_v2.preprocess_input),
    ('caffe', keras.applications.resnet.preprocess_input),
    ('torch', keras.applications.densenet.preprocess_input),
    (
      ((0.5, 0.4, 0.3), (0.1, 0.2, 0.3)),
      lambda x: (x / 255 - [0.5, 0.4, 0.3]) / [0.1, 0.2, 0.3],
    ),
  ],
)
def test_scaling_is_that_of_keras(scaling, scaled, channels_first):
  recipe = recipes.Recipe(
    image_size=(96, 64),
    convention='pillow',
    scaling=scaling,
    channels_first=channels_first,
  )
  plain = dataclasses.replace(recipe, scaling='none', channels_first=False)
  expected = scaled(followed(PICTURES['progressive'], plain).copy())
  found = followed(PICTURES['progressive'], recipe)
  if channels_first:
    found = found.transpose(1, 2, 0)
  np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


# --- datasets ---


@pytest.fixture(scope='module')
def builder(tmp_path_factory):
  builder = imagenet_val_tfrec.Builder(
    data_dir=tmp_path_factory.mktemp('recipes')
  )
  config = tfds.download.DownloadConfig(manual_dir=making.DUMMY)
  builder.download_and_prepare(download_config=config)
  return builder


def test_a_dataset_follows_its_recipe(builder):
  recipe = recipes.Recipe(
    image_size=64,
    resize_size=72,
    convention='pillow',
    channels_first=True,
    label_offset=1,
  )
  dataset = pipeline.evaluation_dataset(
    builder, 5, recipe=recipe, last_batch='pad', transform=lambda x: x / 2
  )
  images, labels, weights = map(np.concatenate, zip(*dataset, strict=True))
  skip = {'image': tfds.decode.SkipDecoding()}
  examples = list(
    builder.as_dataset('validation', decoders=skip).as_numpy_iterator()
  )
  assert list(labels) == [*(e['label'] + 1 for e in examples), 1, 1]
  assert list(weights) == [1] * 8 + [0] * 2
  assert images.dtype == np.float32
  for image, example in zip(images[:8], examples, strict=True):
    expected = reference(example['image'], recipe)
    assert_same(image.transpose(1, 2, 0) * 2, expected)


@pytest.mark.parametrize(
  'options',
  [
    {'image_size': 64},
    {'resize_size': 300},
    {'antialias': True},
    {'mode': 'fast'},
    {'label_offset': 1},
  ],
)
def test_a_recipe_says_it_all(builder, options):
  with pytest.raises(ValueError, match=f'recipe says {next(iter(options))}'):
    pipeline.evaluation_dataset(builder, 1, recipe=recipes.Recipe(), **options)


def test_a_transform_that_cannot_work_is_refused(builder):
  def of_another_backend(images):
    return np.asarray(images) / 255

  with pytest.raises(ValueError, match=r"recipe=recipes\.keras\('…'\) instead"):
    pipeline.evaluation_dataset(builder, 1, transform=of_another_backend)


# --- known models ---


def test_there_is_a_recipe_for_each_model_of_keras():
  models = {name for name in dir(keras.applications) if name[0].isupper()}
  assert models == set(recipes.RECIPES)
  for name, recipe in recipes.RECIPES.items():
    assert recipes.keras(name) is recipe
    assert recipe.name == name
    assert 'keras.io' in recipe.source
    assert recipe.published_top1 > 0.6


def test_recipes_of_keras_have_the_scaling_of_their_models():
  """Of a module whose function scales; others scale in the model."""
  values = np.array([[[[0.0, 128.0, 255.0]]]], np.float32)
  for name, recipe in recipes.RECIPES.items():
    module = getattr(keras.applications, name).__module__.split('.')[-1]
    preprocess_input = getattr(keras.applications, module).preprocess_input
    small = dataclasses.replace(recipe, image_size=1)
    found = preprocessing._scale(tf.constant(values[0]), (1, 1), small)
    expected = preprocess_input(values.copy())[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4, err_msg=name)


def test_the_table_prints():
  lines = repr(recipes.RECIPES).splitlines()
  (line,) = (line for line in lines if line.startswith('ResNet50 '))
  assert line.split() == [
    *('ResNet50', '224', '256', 'opencv', 'bicubic', 'caffe', '74.9%', '92.1%')
  ]
  assert len(lines) == len(recipes.RECIPES) + 1


class Weights(enum.Enum):
  """As torchvision's: members that say how, and what they scored."""

  V1 = types.SimpleNamespace(
    crop_size=[224],
    resize_size=[232],
    mean=[0.485, 0.456, 0.406],
    std=[0.229, 0.224, 0.225],
    interpolation=types.SimpleNamespace(value='bilinear'),
  )
  SEGMENTATION = types.SimpleNamespace(resize_size=[520])

  def transforms(self):
    return self.value

  @property
  def meta(self):
    metrics = {'ImageNet-1K': {'acc@1': 80.858, 'acc@5': 95.434}}
    return {'categories': ['tench'] * 1000, '_metrics': metrics}


def test_torchvision():
  assert recipes.torchvision(Weights.V1) == recipes.Recipe(
    image_size=224,
    resize_size=232,
    convention='pillow',
    scaling=((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    channels_first=True,
    published_top1=0.80858,
    published_top5=0.95434,
    source='torchvision, Weights.V1',
    name='Weights.V1',
  )
  with pytest.raises(ValueError, match='not for classification'):
    recipes.torchvision(Weights.SEGMENTATION)


@pytest.mark.parametrize(
  ('changed', 'resize_size'),
  [({}, 248), ({'crop_mode': 'squash', 'crop_pct': 1.0}, (224, 224))],
)
def test_timm(changed, resize_size):
  cfg = {
    'architecture': 'a_net',
    'input_size': (3, 224, 224),
    'crop_pct': 0.9,
    'crop_mode': 'center',
    'interpolation': 'bicubic',
    'mean': (0.5, 0.5, 0.5),
    'std': (0.5, 0.5, 0.5),
    **changed,
  }
  model = types.SimpleNamespace(pretrained_cfg=cfg, num_classes=1000)
  recipe = recipes.timm(model)
  assert (recipe.image_size, recipe.resize_size) == (224, resize_size)
  assert (recipe.convention, recipe.interpolation) == ('pillow', 'bicubic')
  assert recipe.scaling == ((0.5,) * 3, (0.5,) * 3)
  assert recipe.channels_first
  assert recipe.published_top1 is None
  for wrong in ({'crop_mode': 'border'}, {'input_size': (1, 28, 28)}):
    cfg.update(wrong)
    with pytest.raises(ValueError, match='a_net: input_size is'):
      recipes.timm(model)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'image_size': 300}, 'resize_size that is not smaller'),
    ({'image_size': (1, 2, 3)}, 'one or two sides'),
    ({'resize_size': 0}, 'an integer, 1 or more'),
    ({'interpolation': 'nearest'}, "one of 'bilinear', 'bicubic'"),
    ({'convention': 'pil'}, "one of 'tensorflow', 'pillow', 'opencv'"),
    ({'scaling': 'keras'}, "one of 'none', 'tf', 'caffe', 'torch'"),
    ({'scaling': ((0.5, 0.5, 0.5), (0.5, 0.5, 0.0))}, 'which are not 0'),
    ({'scaling': None}, 'a name, or three means'),
    ({'label_offset': -1}, 'label_offset is -1'),
    ({'num_classes': 0}, 'num_classes is 0'),
    ({'published_top1': 74.9}, 'expected None or from 0 to 1'),
  ],
)
def test_bad_recipes(fields, message):
  with pytest.raises(ValueError, match=message):
    recipes.Recipe(**fields)


def test_an_unknown_model_of_keras():
  with pytest.raises(ValueError, match=r"'resnet50'.* such as 'ResNet50'"):
    recipes.keras('resnet50')
