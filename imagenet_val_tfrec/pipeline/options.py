"""Checks what users pass, and says what was expected."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Sequence
from typing import Any, get_args

Size = tuple[int, int]  # Height and width.
Sides = int | Size


def check_sizes(image_size: Sides, resize_size: Sides | None) -> Size:
  """Returns `image_size` as height and width, if a crop of it is possible."""
  size = _two_sides('image_size', image_size)
  if resize_size is None:
    return size
  resized = _two_sides('resize_size', resize_size)
  # Where one side is given, it may be the height or the width.
  needed = size if isinstance(resize_size, Sequence) else [max(size)] * 2
  if any(map(operator.lt, resized, needed)):
    raise ValueError(
      f'image_size is {image_size!r} and resize_size {resize_size!r}; expected '
      'a resize_size that is not smaller, as the crop is taken from it'
    )
  return size


def _two_sides(name: str, value: Sides) -> Size:
  sides = value if isinstance(value, Sequence) else [value] * 2
  if len(sides) != 2:
    raise ValueError(f'{name} is {value!r}, expected one or two sides')
  height, width = (check_integer(name, side, 1) for side in sides)
  return height, width


def check_choice(name: str, value: Any, choices: Any) -> None:
  """Raises ValueError if an option is none of a `Literal`."""
  if value not in get_args(choices):
    known = ', '.join(map(repr, get_args(choices)))
    raise ValueError(f'{name} is {value!r}, expected one of {known}')


def check_integer(
  name: str, value: Any, least: int, most: float = math.inf
) -> int:
  """Returns an option, maybe one of NumPy's integers, as an int in range."""
  if isinstance(value, numbers.Integral) and least <= int(value) <= most:
    return int(value)
  span = f'from {least} to {most}' if most < math.inf else f'{least} or more'
  raise ValueError(f'{name} is {value!r}, expected an integer, {span}')
