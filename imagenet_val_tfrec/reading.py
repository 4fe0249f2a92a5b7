"""Images → records: a shard's images are read once, each one checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from imagenet_val_tfrec import decoding, errors, jpeg, records, sources
from imagenet_val_tfrec import plan as plan_lib


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


def read_checked(shard: plan_lib.Shard) -> Iterator[records.Record | str]:
  """Yields each image as a record, or what is wrong with it."""
  max_pixels = shard.checks.max_pixels
  with shard.source.open() as reader:
    for i, (entry, label) in enumerate(shard.examples()):
      try:
        image = reader.read(entry)
        shape = jpeg.read_shape(image, max_pixels=max_pixels)
        if shard.checks.decode:
          decoding.check_decodes(image, shape)
      except (sources.SourceError, jpeg.JpegError) as e:
        yield f'{shard.where(i)}: {e}'
      else:
        yield records.Record(
          label=label,
          height=shape.height,
          width=shape.width,
          chans=shape.chans,
          image=image,
        )
