"""Models: what makes scores of a batch of images, of whatever library."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from imagenet_val_tfrec.core import errors

Scorer = Callable[[np.ndarray], np.ndarray]


def name_of(predict: Any) -> str:
  """Returns what a model or a function is called."""
  names = (
    getattr(named, attribute, None)
    for named in (predict, type(predict))
    for attribute in ('name', '__name__')
  )
  return next(name for name in names if isinstance(name, str))


@contextlib.contextmanager
def scorer(predict: Any, num_classes: int) -> Iterator[Scorer]:
  """Yields a function from images to scores, float32 [batch, num_classes].

  It raises InputError if `predict` gives anything else.
  """
  with contextlib.ExitStack() as stack:
    function = predict
    torch = sys.modules.get('torch')
    if hasattr(predict, 'predict_on_batch'):  # Keras: by torch, a Module, too.
      function = predict.predict_on_batch
    elif torch and isinstance(predict, torch.nn.Module):
      function = stack.enter_context(_evaluating(torch, predict))

    def scores(images: np.ndarray) -> np.ndarray:
      try:
        found = _as_array(function(images))
      except Exception as e:
        raise errors.InputError(
          f'predict fails on images of shape {images.shape}: {e}'
        ) from e
      expected = (len(images), num_classes)
      if found.shape != expected:
        raise errors.InputError(
          f'predict gave scores of shape {found.shape}, expected {expected}: '
          "one of each class, as many as the recipe's num_classes"
        )
      if np.isnan(found).any():
        raise errors.InputError(
          'predict gave scores that are no numbers (NaN); the model, its '
          'weights or its precision may be at fault'
        )
      return found

    yield scores


@contextlib.contextmanager
def _evaluating(torch: Any, module: Any) -> Iterator[Callable[..., Any]]:
  """Yields what calls a module for evaluation, where its parameters are."""
  parameter = next(module.parameters(), torch.zeros(()))

  def function(images: np.ndarray) -> Any:
    with torch.inference_mode():
      return module(torch.from_numpy(images).to(parameter))

  was_training = module.training
  module.eval()
  try:
    yield function
  finally:
    module.train(was_training)


def _as_array(scores: Any) -> np.ndarray:
  if hasattr(scores, 'detach'):  # PyTorch's, of any precision and device.
    scores = scores.detach().float().cpu()
  return np.asarray(scores, np.float32)
