"""What a dataset was made from: kept in `info.metadata`, compared on reuse."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

import tensorflow_datasets as tfds

from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.dataset import features
from imagenet_val_tfrec.dataset.config import ImagenetValTfrecConfig
from imagenet_val_tfrec.inputs import join
from imagenet_val_tfrec.records import counting, jpeg
from imagenet_val_tfrec.records import metadata as metadata_lib
from imagenet_val_tfrec.records import record as record_lib
from imagenet_val_tfrec.writing import shards

# In the metadata of datasets that were adopted, not built.
ADOPTED_FROM = 'adopted_from'

_ADVICE = 'Build with --overwrite to replace it, or remove the folder'
_MOST_CLASSES = 100_000  # Whose names are compared.


def describe(
  examples: Mapping[str, join.Examples],
  summaries: Mapping[str, shards.Summary],
  config: ImagenetValTfrecConfig,
  limit: int,
  duplicates: int,
) -> dict[str, Any]:
  """Returns what `info.metadata` says of the input.

  What is said of a split stands in a list, if there are several. `limit` is
  that of a build in part, as `--max_examples_per_split`; else 0.
  """
  splits = {
    name: {
      'source_kind': part.source.kind,
      'source_name': os.path.basename(part.source.path.rstrip('/')),
      'label_file': os.path.basename(part.labels.path),
      'label_file_sha256': part.labels.sha256,
      'images': len(part),
      'image_bytes': part.image_bytes(),
      'chans': summaries[name].chans,
      'fingerprint': part.fingerprint(),
    }
    for name, part in examples.items()
  }
  said: dict[str, Any] = {
    'splits': [{'name': name, **split} for name, split in splits.items()],
    'duplicates': duplicates,
  }
  if len(splits) == 1:
    [said] = splits.values()
  if config.shuffle:
    said['shuffle_seeds'] = config.shuffle_seeds()
  if config.formats != ('jpeg',):
    said['formats'] = list(config.formats)
  return {
    'max_examples_per_split': limit,
    'decode_check': config.decode_check,
    'max_pixels': config.max_pixels,
    **said,
    'input_state': config.state_of(examples, limit),
  }


def check(
  builder: tfds.core.DatasetBuilder,
  manual_dir: str,
  limit: int | None,
  is_named: bool,
) -> bool:
  """Raises InputError unless the dataset there is the one that would be built.

  Where today's input is not there, nothing is compared; then there is a warning
  if somebody said where it is, in the config or as `manual_dir` (`is_named`). A
  part of a dataset, of another `limit`, passes for the whole only where nobody
  said anything (None). Returns whether today's input was compared.
  """
  config: ImagenetValTfrecConfig = builder.builder_config
  is_named = bool(
    is_named or config.image_dir or config.label_file or config.splits
  )
  _check_whole(builder)
  _check_same_classes(builder)
  _check_same_options(builder.info, config)
  try:
    state = config.find_state(manual_dir, limit or 0)
    if state == (builder.info.metadata or {}).get('input_state'):
      return True
    examples = config.examples(manual_dir, limit or 0, builder.info.features)
  except (OSError, errors.InputError) as e:
    if limit is not None:
      _check_same_part(builder.info, limit)
    if is_named or isinstance(e, errors.InputError):
      warnings.warn(
        f'{builder.data_dir} is used as it is, as there is nothing to compare '
        f'it with: {e}',
        stacklevel=2,
      )
    return False
  _check_same_input(builder.info, examples)
  return True


def why_closed(folder: str, file_format: Any) -> str:
  """Says why TFDS could not open a dataset; '' if it can, or there is none.

  `file_format` is what is asked for: TFDS's `FileFormat`, its name, or None.
  """
  if not storage.exists(os.path.join(folder, metadata_lib.INFO)):
    return ''
  try:
    on_disk = _read_metadata(folder).file_format
  except errors.InputError as e:
    return str(e)
  asked = getattr(file_format, 'value', file_format) or on_disk
  if asked == on_disk:
    return ''
  what = f'this dataset is of format {on_disk!r}, asked for is {asked!r}'
  return str(_refused(folder, what))


def _refused(folder: str, what: str, more: str = '') -> errors.InputError:
  return errors.InputError(f'{folder}: {what}. {_ADVICE}{more}')


def _not_whole(folder: str, why: str) -> errors.InputError:
  what = f'there is a folder, but no whole dataset in it ({why})'
  return _refused(folder, what)


def _read_metadata(folder: str) -> metadata_lib.Info:
  try:
    return metadata_lib.check(folder)
  except errors.FileError as e:
    why = f'{os.path.basename(e.path)}: {e.what}'
    raise _not_whole(folder, why) from e


def _check_whole(builder: tfds.core.DatasetBuilder) -> None:
  folder, splits = builder.data_dir, builder.info.splits.values()
  _read_metadata(folder)
  needed = [os.path.join(folder, metadata_lib.METADATA)]
  for split in splits:
    needed += map(os.fspath, split.filepaths)
  missing = [os.path.basename(p) for p in needed if not storage.exists(p)]
  if missing or not splits:
    raise _not_whole(folder, f'missing: {errors.some(missing) or "a split"}')
  if builder.info.file_format.value == 'tfrecord':
    for split in splits:
      paths = [os.fspath(path) for path in split.filepaths]
      counting.check_dataset(paths, split.shard_lengths, split.num_bytes)


def _check_same_part(info: tfds.core.DatasetInfo, limit: int) -> None:
  metadata = info.metadata or {}
  built = metadata.get('max_examples_per_split', 0)
  if built not in (0, limit):
    raise _refused(
      info.data_dir,
      f'this dataset was made of the first {built:,} examples alone, '
      f'{_in_words(_made_from(info))}; and there is nothing to compare it with',
      ", or say that many as today's limit",
    )


def _check_same_options(
  info: tfds.core.DatasetInfo, config: ImagenetValTfrecConfig
) -> None:
  metadata = info.metadata or {}
  usual, checks = jpeg.Checks(), config.checks()
  problems = []
  if checks.decode and not metadata.get('decode_check', usual.decode):
    problems.append('without decode_check (verify --decode checks it as it is)')
  most = metadata.get('max_pixels', usual.max_pixels)
  if checks.max_pixels < most:
    problems.append(f'of images of up to {most:,} pixels')
  doubles = metadata.get('duplicates', 0)
  if config.refuse_duplicates and doubles:
    problems.append(f'of splits that have {doubles:,} images in common')
  seeds, today = metadata.get('shuffle_seeds', {}), config.shuffle_seeds()
  if ADOPTED_FROM not in metadata and seeds != today:
    problems.append(f'with shuffle_seed {seeds or None} (not {today or None})')
  formats = metadata.get('formats', usual.formats)
  if not set(checks.formats).issuperset(formats):
    problems.append(f'of the formats {", ".join(formats)}')
  if problems:
    raise _refused(
      info.data_dir,
      f'this dataset was made {" and ".join(problems)}, which is not what '
      "today's options ask for",
    )


def _check_same_classes(builder: tfds.core.DatasetBuilder) -> None:
  # TFDS lets other names pass (docs/faults.py class_names).
  try:
    found = tfds.features.FeaturesDict.from_config(builder.data_dir)
    on_disk = features.class_label(found)
  except (AttributeError, KeyError, TypeError, ValueError) as e:
    what = f'TFDS cannot read {metadata_lib.FEATURES}: {errors.quoted(str(e))}'
    raise _refused(builder.data_dir, what) from e
  if set(found) != set(builder.info.features):
    raise _refused(
      builder.data_dir,
      f"this dataset has the features {', '.join(sorted(found))}; today's "
      f'config asks for {", ".join(sorted(builder.info.features))}',
    )
  today = features.class_label(builder.info.features)
  if today.num_classes and _names(on_disk) != _names(today):
    raise _refused(
      builder.data_dir,
      f'this dataset has {on_disk.num_classes:,} classes, '
      f"{errors.some(_names(on_disk))}; today's config has "
      f'{today.num_classes:,}, {errors.some(_names(today))}',
    )


def _names(label: tfds.features.ClassLabel) -> list[str]:
  # TFDS makes up a name for each number, of which there may be billions.
  if label.num_classes > _MOST_CLASSES:
    return [f'0..{label.num_classes - 1}']
  names: list[str] = label.names
  return names


def _in_words(inputs: Mapping[str, tuple[int, Any]]) -> str:
  return ', '.join(
    # As much of the fingerprint as one compares by eye.
    f'{name!r} of {number:,} images, fingerprint {str(fingerprint)[:12]}'
    for name, (number, fingerprint) in inputs.items()
  )


def _made_from(info: tfds.core.DatasetInfo) -> dict[str, tuple[int, Any]]:
  metadata = info.metadata or {}
  of_splits = {s['name']: s for s in metadata.get('splits', ())}
  return {
    name: (split.num_examples, of_splits.get(name, metadata).get('fingerprint'))
    for name, split in info.splits.items()
  }


def _check_same_input(
  info: tfds.core.DatasetInfo, examples: Mapping[str, join.Examples]
) -> None:
  number = sum(map(len, examples.values()))
  adopted = ADOPTED_FROM in (info.metadata or {})
  if adopted and info.splits.total_num_examples == number:
    # Records hold no names, so only their size is compared.
    least = sum(part.image_bytes() for part in examples.values())
    size = sum(split.num_bytes for split in info.splits.values())
    if least < size <= least + number * record_lib.MAX_OVERHEAD:
      return
    raise _refused(
      info.data_dir,
      f"this dataset was adopted from older files of {size:,} bytes; today's "
      f'input has {least:,} bytes of images, which do not make such files',
    )
  made_from = _made_from(info)
  today = {n: (len(e), e.fingerprint()) for n, e in examples.items()}
  if made_from != today:
    raise _refused(
      info.data_dir,
      f'this dataset was made from other input: {_in_words(made_from)}; '
      f"today's input is {_in_words(today)}",
      '; to load it as it is: tfds.load(…, download=False)',
    )
