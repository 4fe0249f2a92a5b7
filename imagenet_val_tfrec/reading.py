"""Images → records: a shard's images are read once, each one checked."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator, Iterator, Sequence
from typing import TypeAlias

from imagenet_val_tfrec import decoding, errors, jpeg, records, sources
from imagenet_val_tfrec import plan as plan_lib

_LARGE = 1 << 22  # Bytes of a file, or pixels of an image.

_Alone: TypeAlias = contextlib.AbstractContextManager[object]
_AT_ONCE: _Alone = contextlib.nullcontext()
_DECODING: _Alone = threading.Lock()


class ImageError(errors.InputError):
  """Images that cannot be used; all of them are counted."""


def read_records(shard: plan_lib.Shard) -> Iterator[records.Record]:
  """Yields what would be written, in order, without writing it.

  Raises:
    ImageError: behind the last record, if images could not be used.
  """
  problems = []
  for record in read_checked(shard):
    if isinstance(record, str):
      problems.append(record)
    else:
      yield record
  if problems:
    raise image_error(shard.source, problems)


def image_error(
  source: sources.ImageSource, problems: Sequence[str]
) -> ImageError:
  """Returns the error that counts `problems` and names the first ten."""
  return ImageError(
    errors.offenders(
      f'images cannot be used in {source.path}',
      problems,
      'Mend or remove them, and their lines in the label file.',
    )
  )


def read_checked(
  shard: plan_lib.Shard, large: _Alone = _AT_ONCE
) -> Generator[records.Record | str, None, None]:
  """Yields each image as a record, or what is wrong with it.

  Args:
    shard: What to read.
    large: Is held while a large image is read, and until the next is asked
      for; a lock lets no other thread have one at the same time.
  """
  with shard.source.open() as reader:
    for i, (entry, label) in enumerate(shard.examples()):
      with large if entry.size > _LARGE else _AT_ONCE:
        try:
          yield _read_one(reader, entry, label, shard.checks)
        except (sources.SourceError, jpeg.JpegError) as e:
          yield f'{shard.where(i)}: {e}'
        except MemoryError as e:
          raise MemoryError(
            f'{shard.where(i)}: too little memory for {entry.size:,} bytes'
          ) from e


def _read_one(
  reader: sources.Reader,
  entry: sources.Entry,
  label: int,
  checks: plan_lib.Checks,
) -> records.Record:
  image = reader.read(entry)
  shape = jpeg.read_shape(image, max_pixels=checks.max_pixels)
  if checks.decode:
    many_pixels = shape.height * shape.width > _LARGE
    with _DECODING if many_pixels else _AT_ONCE:
      decoding.check_decodes(image, shape, checks.max_pixels)
  return records.Record(
    label=label,
    height=shape.height,
    width=shape.width,
    chans=shape.chans,
    image=image,
  )
