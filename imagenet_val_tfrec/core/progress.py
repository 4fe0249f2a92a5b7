"""A progress bar of images, and MB/s where bytes are told."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

_SHOW_EVERY = 0.1  # Seconds: a bar costs more than an image's bookkeeping.


@contextlib.contextmanager
def progress_bar(
  tqdm: Callable[..., Any],
  *,
  images: int | None,
  description: str,
  unit: str = 'images',
) -> Iterator[Callable[[int, int], None]]:
  """Shows a bar, made by `tqdm`, of so many images while the work goes on.

  Yields a function to tell of the images and bytes done since its last call.
  """
  shown_images = done_images = done_bytes = 0
  start = shown = time.monotonic()
  with tqdm(total=images, desc=description, unit=f' {unit}') as bar:

    def show(now: float) -> None:
      nonlocal shown, shown_images
      rate = done_bytes / max(now - start, 1e-9) / 1e6
      if done_bytes:
        bar.set_postfix_str(f'{rate:,.0f} MB/s', refresh=False)
      bar.update(done_images - shown_images)
      shown, shown_images = now, done_images

    def report(images: int, size: int) -> None:
      nonlocal done_images, done_bytes
      done_images += images
      done_bytes += size
      now = time.monotonic()
      if now - shown >= _SHOW_EVERY:
        show(now)

    try:
      yield report
    finally:
      show(time.monotonic())
