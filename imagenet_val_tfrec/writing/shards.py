"""Writes one planned shard, and keeps a note of what is in it.

A shard appears under its name when it is whole. Beside it stands a note of its
digests, size and counts, or of what is wrong with its images; so a worker sends
nothing back, and a shard that is written already is not written again.
"""

from __future__ import annotations

import array
import base64
import collections
import contextlib
import dataclasses
import errno
import functools
import itertools
import json
import os
import threading
import uuid
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

import google_crc32c
from absl import logging

from imagenet_val_tfrec.core import errors, small_files, storage
from imagenet_val_tfrec.core import workers as workers_lib
from imagenet_val_tfrec.inputs import entries, sources
from imagenet_val_tfrec.records import images, jpeg, outputs
from imagenet_val_tfrec.records import record as record_lib
from imagenet_val_tfrec.writing import plan as plan_lib
from imagenet_val_tfrec.writing import runners

_NOTE: small_files.Schema = {
  'digest': str,
  'problems': [str],
  'chans': dict,
  'sha256': str,
  'keys?': str,
}

_LARGE = 1 << 22  # Bytes of a file, or pixels of an image.

# So that many threads need no more memory for these than one.
LARGE_IMAGES = threading.Lock()
_DECODING = threading.Lock()
_AT_ONCE = contextlib.nullcontext()


class ImageError(errors.InputError):
  """Images that cannot be used; all of them are counted."""


# An image as a record; or None, and what is wrong with it.
_Checked = tuple[record_lib.Record | None, str]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
  """What stands in the shards of a plan.

  Where the plan asks for `keys`, each image has one, in order; images of other
  bytes have another one, but for one pair in 2**32 of the same size.
  """

  sizes: Sequence[int]  # Of the shards, in bytes.
  chans: dict[str, int]  # Images by their channels, e.g. {'1': 2, '3': 98}.
  sums: dict[str, str]  # The SHA-256 of each shard, by its name.
  keys: Sequence[int] = ()


def write_plans(
  plans: Sequence[plan_lib.Plan],
  folder: str,
  *,
  run: runners.Runner,
  progress: runners.Progress | None = None,
) -> list[Summary]:
  """Writes all shards of some plans that are not written already, as one run.

  What is no whole shard of a plan is removed from the folder. ImageError counts
  the images that cannot be used; all of them were looked at. OSError says that
  a shard cannot be written, or that there is too little room.
  """

  def all_shards() -> Iterator[plan_lib.Shard]:
    return itertools.chain.from_iterable(plan.shards() for plan in plans)

  done = {s.filename: s for s in all_shards() if is_written(s, folder)}
  keep = {*done, *map(_note_path, done)}
  for name in storage.names_in(folder):
    if name not in keep:
      storage.remove(os.path.join(folder, name))
  storage.sync(folder)  # Else a note may come to stand beside an old shard.
  there = [shard.examples for shard in done.values()]
  if done:
    of = sum(len(plan.lengths) for plan in plans)
    logging.info('resuming: %d of %d shards were complete', len(done), of)
    if progress:  # No bytes: they would count for the speed.
      progress(sum(map(len, there)), 0)
  parts = [plan.examples for plan in plans]
  places = [folder, *(part.source.path for part in parts)]
  needed = sum(plan.total_bytes() for plan in plans)
  needed -= sum(part.image_bytes() for part in there)
  free = storage.free_bytes(folder)
  if free is not None and free < needed:
    what = (
      f'{needed / 1e9:,.1f} GB are needed and {free / 1e9:,.1f} GB are free'
    )
    raise OSError(errno.ENOSPC, what, folder)
  run(
    functools.partial(write_shard, folder=folder),
    (shard for shard in all_shards() if shard.filename not in done),
    is_done=functools.partial(is_written, folder=folder),
    threads=workers_lib.num_threads(
      sum(part.image_bytes() for part in parts) / sum(map(len, parts)),
      remote=any(map(storage.is_remote, places)),
    ),
    progress=progress,
  )
  return summarise(plans, folder)


def write_shard(
  shard: plan_lib.Shard,
  folder: str,
  *,
  progress: runners.Progress | None = None,
) -> None:
  """Writes a shard and its note; what is there already is kept.

  Any number of attempts, even at the same time, gives one correct shard. Bad
  images are not raised, but noted: see `summarise`.
  """
  if is_written(shard, folder):
    return
  path = os.path.join(folder, shard.filename)
  part = f'{path}.{uuid.uuid4().hex}.part'
  try:
    note = _write_part(shard, part, progress)
    if not note['problems']:
      note['bytes'] = storage.size_of(part)
      storage.sync(part)
      storage.replace(part, path)
  except OSError as e:
    if e.errno and not e.filename:
      raise OSError(e.errno, e.strerror, path) from e
    raise
  finally:
    with contextlib.suppress(OSError):
      storage.remove(part)
  small_files.write_text(_note_path(path), json.dumps(note))


def read_records(shard: plan_lib.Shard) -> Iterator[record_lib.Record]:
  """Yields what would be written, in order, without writing it.

  Raises ImageError after the last record, if images could not be used.
  """
  problems = []
  for record, problem in read_checked(shard):
    if record:
      yield record
    else:
      problems.append(problem)
  if problems:
    raise image_error({shard.examples.source: problems})


def is_written(shard: plan_lib.Shard, folder: str) -> bool:
  """Whether exactly this shard is in the folder, complete."""
  path = os.path.join(folder, shard.filename)
  note = _read_note(path)
  return bool(
    note
    and storage.exists(path)
    and note['digest'] == shard.digest()
    and not note['problems']
    and note['bytes'] == storage.size_of(path)
  )


def summarise(plans: Sequence[plan_lib.Plan], folder: str) -> list[Summary]:
  """Reads the notes of all shards in a folder; OSError if one is not there.

  ImageError counts the images that could not be used, source by source.
  """
  problems: dict[sources.ImageSource, list[str]] = {}
  summaries = []
  for plan in plans:
    sizes, sums, keys = [], {}, array.array('Q')
    chans: collections.Counter[str] = collections.Counter()
    for filename in plan.filenames:
      path = os.path.join(folder, filename)
      note = _read_note(path)
      if note is None:
        raise OSError(f'{path} was not written: a worker was lost; build again')
      chans.update(note['chans'])
      if note['problems']:
        problems.setdefault(plan.examples.source, []).extend(note['problems'])
      else:
        sizes.append(storage.size_of(path))
        sums[filename] = note['sha256']
        keys.frombytes(base64.b64decode(note.get('keys', '')))
    sorted_chans = dict(sorted(chans.items()))
    summaries.append(
      Summary(sizes=sizes, chans=sorted_chans, sums=sums, keys=keys)
    )
  if problems:
    raise image_error(problems)
  return summaries


def _read_note(path: str) -> dict[str, Any] | None:
  """Returns the note of a shard; None if there is none, or it is damaged."""
  with contextlib.suppress(OSError, ValueError):
    return small_files.read_json(_note_path(path), _NOTE)
  return None


def _note_path(path: str) -> str:
  return f'{path}.json'


def _write_part(
  shard: plan_lib.Shard, part: str, progress: runners.Progress | None
) -> dict[str, Any]:
  """Writes the shard's file; returns its note."""
  chans: collections.Counter[int] = collections.Counter()
  problems: list[str] = []
  keys = array.array('Q')
  with (
    outputs.open_output(part, shard.file_format) as out,
    contextlib.closing(read_checked(shard, LARGE_IMAGES)) as read,
  ):
    for record, problem in read:
      if record is None:
        problems.append(problem)
      else:
        chans[record.chans] += 1
        if shard.with_keys:
          keys.append(key_of(record.image))
        if not problems:  # Else only look for more of them.
          out.write(record_lib.serialise(record))
      if progress:
        progress(1, len(record.image) if record else 0)
      del record  # Before the next one is read: it may be large.
  note = {
    'digest': shard.digest(),
    'chans': {str(key): value for key, value in chans.items()},
    'problems': problems,
    'sha256': out.sha256(),
  }
  if shard.with_keys:
    note['keys'] = base64.b64encode(keys.tobytes()).decode()
  return note


def key_of(image: bytes) -> int:
  """Returns the key of an image, see `Summary`."""
  crc: int = google_crc32c.value(image)
  return (len(image) & 0xFFFFFFFF) << 32 | crc


def image_error(
  problems: Mapping[sources.ImageSource, Sequence[str]],
) -> ImageError:
  """Returns the error that counts what is wrong, source by source."""
  advice = 'Fix or remove them, and their lines in a label file.'
  messages = (
    errors.offenders(f'images cannot be used in {source.path}', found, advice)
    for source, found in problems.items()
  )
  return ImageError('\n'.join(messages))


def read_checked(
  shard: plan_lib.Shard,
  large: contextlib.AbstractContextManager[object] = _AT_ONCE,
) -> Generator[_Checked, None, None]:
  """Yields each image as a record, or what is wrong with it.

  `large` is held while a large image is read, and until the next is asked for.
  """
  with shard.examples.source.open() as reader:
    for i, label in enumerate(shard.examples.labels.labels):
      entry = shard.examples.entry(i)
      with large if entry.size > _LARGE else _AT_ONCE:
        try:
          name = shard.examples.file_name(i)
          yield _read_one(reader, entry, label, name, shard.checks), ''
        except (sources.SourceError, jpeg.FormatError) as e:
          yield None, f'{shard.examples.where(i)}: {e}'
        except MemoryError as e:
          problem = f'too little memory for {entry.size:,} bytes'
          raise MemoryError(f'{shard.examples.where(i)}: {problem}') from e


def _read_one(
  reader: sources.Reader,
  entry: entries.Entry,
  label: record_lib.Label,
  file_name: bytes,
  checks: jpeg.Checks,
) -> record_lib.Record:
  image = reader.read(entry)
  shape = images.read_shape(image, checks)
  if checks.decode:
    many_pixels = shape.height * shape.width > _LARGE
    with _DECODING if many_pixels else _AT_ONCE:
      images.check_decodes(image, shape, checks.max_pixels)
  return record_lib.Record(
    label=label,
    height=shape.height,
    width=shape.width,
    chans=shape.chans,
    image=image,
    file_name=file_name,
  )
