"""Recipes: how the authors of a model prepared the images they measured on.

The same model gives accuracies up to ten points apart, depending on how its
images are resized, cropped and scaled. A `Recipe` says it all.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from imagenet_val_tfrec.pipeline.options import (
  Sides,
  check_choice,
  check_integer,
  check_sizes,
)

Interpolation = Literal['bilinear', 'bicubic']
Convention = Literal['tensorflow', 'pillow', 'opencv']
Means = tuple[float, float, float]
_Named = Literal['none', 'tf', 'caffe', 'torch']
Scaling = _Named | tuple[Means, Means]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
  """How images become what a model expects, and what it scored with them.

  Attributes:
    image_size: Height and width of the model's images, or a pair of them.
    resize_size: What the short side is resized to, before the central crop;
      not smaller than `image_size`. Or a pair: height and width of the whole,
      whatever shape it had.
    interpolation: 'bilinear' or 'bicubic'.
    convention: Whose pixels these are, to their rounding:

      'tensorflow': `tf.image.resize`, float32: not antialiased; the long side
        is rounded, the offsets of the crop rounded down.
      'pillow': Pillow's `Image.resize`, as torchvision and timm use it:
        antialiased, rounded to whole grey levels. The long side is rounded
        down, the offsets of the crop rounded to the nearest.
      'opencv': `cv2.resize`: not antialiased, rounded to whole grey levels.
        Sides and offsets as in 'pillow'.
    scaling: What is done to values from 0 to 255 afterwards:

      'none': nothing; also for models that scale in a layer of their own.
      'tf': to -1..1.
      'caffe': RGB becomes BGR, and a mean is subtracted.
      'torch': to 0..1, then mean and deviation of ImageNet.
      (means, deviations): to 0..1, then these, three numbers each.
    channels_first: Whether images are [3, height, width].
    label_offset: Added to the labels: 1 for models with a class 0 of their own.
    num_classes: Scores that the model gives for an image.
    published_top1: The accuracy that its authors state, 0..1; None if unknown.
    published_top5: Likewise, the label being among the five best.
    source: Where these facts are from.
    name: What messages call it.

  Raises:
    ValueError: if a field is out of range, or the fields do not fit together.
  """

  image_size: Sides = 224
  resize_size: Sides = 256
  interpolation: Interpolation = 'bilinear'
  convention: Convention = 'tensorflow'
  scaling: Scaling = 'none'
  channels_first: bool = False
  label_offset: int = 0
  num_classes: int = 1000
  published_top1: float | None = None
  published_top5: float | None = None
  source: str = ''
  name: str = ''

  def __post_init__(self) -> None:
    """Checks the fields."""
    check_sizes(self.image_size, self.resize_size)
    check_choice('interpolation', self.interpolation, Interpolation)
    check_choice('convention', self.convention, Convention)
    _check_scaling(self.scaling)
    check_integer('label_offset', self.label_offset, 0)
    check_integer('num_classes', self.num_classes, 1)
    for name in ('published_top1', 'published_top5'):
      value = getattr(self, name)
      if value is not None and not 0 <= value <= 1:
        raise ValueError(f'{name} is {value!r}, expected None or from 0 to 1')


class _Table(dict[str, Recipe]):
  """Recipes by name; prints as a table."""

  def __repr__(self) -> str:
    head = ('', 'pixels', 'resized', 'pixels of', 'scaling', 'top-1', 'top-5')
    rows: list[tuple[str, ...]] = [head]
    for name, recipe in self.items():
      published = (recipe.published_top1, recipe.published_top5)
      rows.append(
        (
          name,
          str(recipe.image_size),
          str(recipe.resize_size),
          f'{recipe.convention} {recipe.interpolation}',
          str(recipe.scaling),
          *('-' if part is None else f'{part:.1%}' for part in published),
        )
      )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join(
      '  '.join(map(str.ljust, row, widths)).rstrip() for row in rows
    )


def keras(name: str) -> Recipe:
  """Returns the recipe of a model of `keras.applications`, as `'ResNet50'`.

  With the weights of ImageNet, and the layer that scales where there is one.

  Raises:
    ValueError: if there is no such model.
  """
  if name not in RECIPES:
    near = difflib.get_close_matches(str(name), RECIPES) or RECIPES
    raise ValueError(
      f'name is {name!r}, expected a model of keras.applications, such as '
      + ', '.join(map(repr, near))
    )
  return RECIPES[name]


def torchvision(weights: Any) -> Recipe:
  """Returns the recipe of weights, as `ResNet50_Weights.IMAGENET1K_V2`.

  Args:
    weights: A member of one of torchvision's enums, for classification.

  Raises:
    ValueError: if the weights are not for classification, or need what a
      `Recipe` cannot say.
  """
  preset = weights.transforms()
  metrics = weights.meta.get('_metrics', {}).get('ImageNet-1K', {})
  missing = {'crop_size', 'resize_size', 'mean', 'std'} - set(dir(preset))
  if missing:
    raise ValueError(f'{weights} are not for classification')
  (image_size,), (resize_size,) = preset.crop_size, preset.resize_size
  return Recipe(
    image_size=image_size,
    resize_size=resize_size,
    interpolation=preset.interpolation.value,
    convention='pillow',
    scaling=(tuple(preset.mean), tuple(preset.std)),
    channels_first=True,
    num_classes=len(weights.meta['categories']),
    published_top1=_fraction(metrics.get('acc@1')),
    published_top5=_fraction(metrics.get('acc@5')),
    source=f'torchvision, {weights}',
    name=str(weights),
  )


def timm(model: Any) -> Recipe:
  """Returns the recipe of a model that `timm.create_model` made.

  It is what `timm.data.resolve_model_data_config(model)` says. timm states no
  accuracies there, so `published_top1` is None.

  Args:
    model: Has a `pretrained_cfg`.

  Raises:
    ValueError: if it needs what a `Recipe` cannot say, as another crop.
  """
  cfg = model.pretrained_cfg
  channels, height, width = cfg['input_size']
  crop_mode = cfg.get('crop_mode', 'center')
  square = channels == 3 and height == width
  if not square or crop_mode not in ('center', 'squash'):
    raise ValueError(
      f'{cfg["architecture"]}: input_size is {cfg["input_size"]} and crop_mode '
      f"{crop_mode!r}; expected three channels, a square, and 'center' or "
      "'squash'"
    )
  side = math.floor(height / cfg['crop_pct'])
  return Recipe(
    image_size=height,
    resize_size=(side, side) if crop_mode == 'squash' else side,
    interpolation=cfg['interpolation'],
    convention='pillow',
    scaling=(tuple(cfg['mean']), tuple(cfg['std'])),
    channels_first=True,
    num_classes=model.num_classes,
    source='timm, pretrained_cfg',
    name=cfg['architecture'],
  )


def _fraction(percent: float | None) -> float | None:
  return None if percent is None else round(percent / 100, 6)


def _check_scaling(scaling: Any) -> None:
  numbers = isinstance(scaling, tuple) and len(scaling) == 2
  if numbers and all(len(part) == 3 for part in scaling) and all(scaling[1]):
    return
  if isinstance(scaling, str):
    check_choice('scaling', scaling, _Named)
  else:
    raise ValueError(
      f'scaling is {scaling!r}, expected a name, or three means and three '
      'deviations, which are not 0'
    )


# 'Table' is that of https://keras.io/api/applications. Its first 18 models were
# measured by one script, which its author describes in keras-applications 88;
# sides are those of tests/all_imagenet_models.py in his taehoonlee/tensornets.
_TABLE = 'keras.io/api/applications'
_BEHIND_THE_TABLE = f'{_TABLE}, github.com/keras-team/keras-applications#88'
_EFFICIENTNET = (
  f'{_TABLE}, arxiv.org/abs/1905.11946; pixels: github.com/tensorflow/tpu, '
  'efficientnet/preprocessing.py, but for parts of a pixel'
)
_EFFICIENTNET_V2 = (
  f'{_TABLE}, arxiv.org/abs/2104.00298; pixels: github.com/google/automl, '
  'efficientnetv2/preprocessing.py, but for parts of a pixel'
)
_CONVNEXT = (
  f'{_TABLE}; pixels: github.com/sayakpaul/ConvNeXt-TF, i1k_eval/eval.ipynb'
)
_MOBILENET_V3 = (
  'keras.io/api/applications/mobilenet; pixels: '
  'github.com/tensorflow/models, slim/preprocessing/inception_preprocessing.py,'
  ' but for half a pixel'
)


# Name, image_size, resize_size, scaling, top-1 and top-5.
_Row = tuple[str, int, Sides, _Named, float, float | None]
# Interpolation, convention, source.
_Group = tuple[Interpolation, Convention, str]

_KERAS: Mapping[_Group, Sequence[_Row]] = {
  ('bicubic', 'opencv', _BEHIND_THE_TABLE): [
    ('Xception', 299, 341, 'tf', 0.790, 0.945),
    ('VGG16', 224, 256, 'caffe', 0.713, 0.901),
    ('VGG19', 224, 256, 'caffe', 0.713, 0.900),
    ('ResNet50', 224, 256, 'caffe', 0.749, 0.921),
    ('ResNet50V2', 224, 256, 'tf', 0.760, 0.930),
    ('ResNet101', 224, 256, 'caffe', 0.764, 0.928),
    ('ResNet101V2', 224, 256, 'tf', 0.772, 0.938),
    ('ResNet152', 224, 256, 'caffe', 0.766, 0.931),
    ('ResNet152V2', 224, 256, 'tf', 0.780, 0.942),
    ('InceptionV3', 299, 341, 'tf', 0.779, 0.937),
    ('InceptionResNetV2', 299, 341, 'tf', 0.803, 0.953),
    ('MobileNet', 224, 256, 'tf', 0.704, 0.895),
    ('MobileNetV2', 224, 256, 'tf', 0.713, 0.901),
    ('DenseNet121', 224, 256, 'torch', 0.750, 0.923),
    ('DenseNet169', 224, 256, 'torch', 0.762, 0.932),
    ('DenseNet201', 224, 256, 'torch', 0.773, 0.936),
    ('NASNetMobile', 224, 256, 'tf', 0.744, 0.919),
    ('NASNetLarge', 331, 378, 'tf', 0.825, 0.960),
  ],
  ('bicubic', 'tensorflow', _EFFICIENTNET): [
    ('EfficientNetB0', 224, 256, 'none', 0.771, 0.933),
    ('EfficientNetB1', 240, 272, 'none', 0.791, 0.944),
    ('EfficientNetB2', 260, 292, 'none', 0.801, 0.949),
    ('EfficientNetB3', 300, 332, 'none', 0.816, 0.957),
    ('EfficientNetB4', 380, 412, 'none', 0.829, 0.964),
    ('EfficientNetB5', 456, 488, 'none', 0.836, 0.967),
    ('EfficientNetB6', 528, 560, 'none', 0.840, 0.968),
    ('EfficientNetB7', 600, 632, 'none', 0.843, 0.970),
  ],
  ('bilinear', 'tensorflow', _EFFICIENTNET_V2): [
    ('EfficientNetV2B0', 224, 256, 'none', 0.787, 0.943),
    ('EfficientNetV2B1', 240, 272, 'none', 0.798, 0.950),
    ('EfficientNetV2B2', 260, 292, 'none', 0.805, 0.951),
    ('EfficientNetV2B3', 300, 332, 'none', 0.820, 0.958),
    ('EfficientNetV2S', 384, (384, 384), 'none', 0.839, 0.967),
    ('EfficientNetV2M', 480, (480, 480), 'none', 0.853, 0.974),
    ('EfficientNetV2L', 480, (480, 480), 'none', 0.857, 0.975),
  ],
  ('bicubic', 'tensorflow', _CONVNEXT): [
    ('ConvNeXtTiny', 224, (256, 256), 'none', 0.813, None),
    ('ConvNeXtSmall', 224, (256, 256), 'none', 0.823, None),
    ('ConvNeXtBase', 224, (256, 256), 'none', 0.853, None),
    ('ConvNeXtLarge', 224, (256, 256), 'none', 0.863, None),
    ('ConvNeXtXLarge', 224, (256, 256), 'none', 0.867, None),
  ],
  ('bilinear', 'tensorflow', _MOBILENET_V3): [
    ('MobileNetV3Small', 224, (256, 256), 'none', 0.681, None),
    ('MobileNetV3Large', 224, (256, 256), 'none', 0.756, None),
  ],
}

RECIPES: Mapping[str, Recipe] = _Table(
  {
    name: Recipe(
      image_size=image_size,
      resize_size=resize_size,
      interpolation=interpolation,
      convention=convention,
      scaling=scaling,
      published_top1=top1,
      published_top5=top5,
      source=source,
      name=name,
    )
    for (interpolation, convention, source), rows in _KERAS.items()
    for name, image_size, resize_size, scaling, top1, top5 in rows
  }
)
