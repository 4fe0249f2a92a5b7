"""Loads models by name or from files, with their recipes."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.pipeline import recipes

_RECIPE = """keras:ResNet50, or JSON: '{"image_size": 224, "scaling": "tf"}'"""


class Model(NamedTuple):
  """What `evaluate` needs."""

  name: str
  predict: Any
  recipe: recipes.Recipe


def load(model: str, weights: str, recipe: str | None) -> Model:
  """Loads a model.

  Args:
    model: `keras:NAME`, `timm:NAME`, `torchvision:NAME`, a `.keras` file, or
      the folder of a SavedModel.
    weights: `imagenet`, `none`, or a file; or of torchvision, such as
      `IMAGENET1K_V1`. Files and folders have their own.
    recipe: Replaces the model's own: `keras:NAME` and so on, or JSON.

  Returns:
    The model and its recipe.

  Raises:
    errors.InputError: if something of that is not there, or does not fit.
  """
  library, _, name = model.partition(':')
  replaced = _read_recipe(recipe) if recipe else None
  if library in _BY_NAME:
    advice = '; without a network: --weights FILE' * (weights == 'imagenet')
    with _in_words(f'{model} with weights {weights} cannot be loaded', advice):
      predict, own = _BY_NAME[library](name, weights)
    return Model(name, predict, replaced or own)
  if replaced is None:
    raise errors.InputError(
      f'{errors.shown(model)} does not say how its images were prepared; say '
      f'--recipe, such as {_RECIPE}'
    )
  name = os.path.splitext(os.path.basename(os.path.normpath(model)))[0]
  with _in_words(f'{errors.shown(model)} cannot be loaded'):
    return Model(name, _of_file(model), replaced)


def _read_recipe(text: str) -> recipes.Recipe:
  library, _, name = text.partition(':')
  what = f'--recipe is {errors.quoted(text)}'
  with _in_words(what, f'; expected such as {_RECIPE}'):
    if library == 'keras':
      return recipes.keras(name)
    if library in _BY_NAME:
      return _BY_NAME[library](name, 'none')[1]
    return recipes.Recipe(**_as_tuples(json.loads(text)))


@contextlib.contextmanager
def _in_words(what: str, advice: str = '') -> Iterator[None]:
  """Whatever a library says of a name, a file or the network, as InputError."""
  try:
    yield
  except ImportError as e:
    name = e.name or 'it'
    raise errors.InputError(f'{what}: {e}; pip install {name}') from e
  except Exception as e:
    why = str(e).strip().partition('\n')[0] or type(e).__name__
    raise errors.InputError(f'{what}: {why}{advice}') from e


def _as_tuples(value: Any) -> Any:
  if isinstance(value, dict):
    return {key: _as_tuples(inner) for key, inner in value.items()}
  return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


def _keras(name: str, weights: str) -> tuple[Any, recipes.Recipe]:
  recipe = recipes.keras(name)
  applications = importlib.import_module('keras').applications
  make = getattr(applications, name)
  return make(weights=None if weights == 'none' else weights), recipe


def _timm(name: str, weights: str) -> tuple[Any, recipes.Recipe]:
  timm = importlib.import_module('timm')
  is_file = weights not in ('none', 'imagenet')
  model = timm.create_model(
    name,
    pretrained=weights == 'imagenet',
    checkpoint_path=weights if is_file else '',
  )
  return model, recipes.timm(model)


def _torchvision(name: str, weights: str) -> tuple[Any, recipes.Recipe]:
  models = importlib.import_module('torchvision').models
  known = models.get_model_weights(name)
  chosen = known.__members__.get(weights, known.DEFAULT)
  is_known = weights in ('imagenet', *known.__members__)
  model = models.get_model(name, weights=chosen if is_known else None)
  if not is_known and weights != 'none':
    torch = importlib.import_module('torch')
    state = torch.load(weights, map_location='cpu', weights_only=True)
    model.load_state_dict(state)
  return model, recipes.torchvision(chosen)


_BY_NAME = {'keras': _keras, 'timm': _timm, 'torchvision': _torchvision}


def _of_file(path: str) -> Any:
  """Loads a `.keras` file, or a SavedModel as a function."""
  if not os.path.isdir(path):
    keras = importlib.import_module('keras')
    return keras.saving.load_model(path, compile=False)
  import tensorflow as tf

  signature = tf.saved_model.load(path).signatures['serving_default']
  (name,) = signature.structured_input_signature[1]

  def predict(images: Any) -> Any:
    (scores,) = signature(**{name: tf.constant(images)}).values()
    return scores

  return predict
