"""A progress bar of images and MB/s."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any


@contextlib.contextmanager
def progress_bar(
  tqdm: Callable[..., Any], *, images: int, description: str
) -> Iterator[Callable[[int, int], None]]:
  """Shows a bar while the work goes on.

  Args:
    tqdm: Makes the bar: `tqdm.tqdm` or TFDS's own.
    images: How many there are.
    description: What is done to them.

  Yields:
    A function to tell of images and bytes done since its last call.
  """
  done = 0
  start = time.monotonic()
  with tqdm(total=images, desc=description, unit=' images') as bar:

    def report(images: int, size: int) -> None:
      nonlocal done
      done += size
      rate = done / max(time.monotonic() - start, 1e-9) / 1e6
      bar.set_postfix_str(f'{rate:,.0f} MB/s', refresh=False)
      bar.update(images)

    yield report
