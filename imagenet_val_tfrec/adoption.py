"""Makes a TFDS dataset of older raw files, without touching a byte of them.

Their records are those that a build writes; so all that is missing are the
names that TFDS gives to files, and the metadata.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import tensorflow_datasets as tfds

from imagenet_val_tfrec import imagenet_val_tfrec_dataset_builder
from imagenet_val_tfrec.core import errors, storage, workers
from imagenet_val_tfrec.dataset import provenance, splits, staged_builder
from imagenet_val_tfrec.dataset.config import ImagenetValTfrecConfig
from imagenet_val_tfrec.records import counting, frames, jpeg, raw_files, sums
from imagenet_val_tfrec.records import record as record_lib
from imagenet_val_tfrec.writing import staging

# Another disk, too many links, not one's own file, no such links there.
_NO_HARD_LINK = (
  *(errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EACCES),
  *(errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS),
)
_IN_THE_WAY = (
  'Say overwrite to replace it, or another data_dir, or a config of another '
  'name'
)


class _File(NamedTuple):
  """A file to adopt."""

  path: str
  length: int  # How many records are in it.
  size: int  # In bytes.
  labels: tuple[int, int]  # Of its first and its last record.


def adopt(
  tfrec_dir: str | os.PathLike[str],
  data_dir: str | os.PathLike[str],
  *,
  split: str = 'validation',
  config: str | ImagenetValTfrecConfig | None = None,
  overwrite: bool = False,
) -> str:
  """Makes older files a TFDS dataset, which `tfds.load` reads in their order.

  Nothing is copied: the files get second names (hard links, or symbolic ones
  where those cannot be made, as to another disk). Records are counted; the
  first and the last of each file are checked (`imagenet_val_tfrec verify`
  checks all). Files without a SHA-256 in `tfrec_dir/SHA256SUMS` are read.

  Args:
    tfrec_dir: Holds `NAME_0.tfrecord` and so on.
    data_dir: Of TFDS.
    split: Name of the split.
    config: By default `imagenet2012` with its 1,000 classes; else an
      `ImagenetValTfrecConfig(name=…, num_classes=…)`.
    overwrite: Whether a dataset that is there is replaced.

  Returns:
    The version folder: `{data_dir}/imagenet_val_tfrec/{config}/1.0.0`.

  Raises:
    errors.InputError: if files are missing or damaged, labels do not fit the
      config, or a dataset is there already. Nothing is left behind.
    OSError: if there are no files, or they cannot be read or linked.

  Example:
    >>> legacy.adopt('tfrecords', 'adopted')
    '.../adopted/imagenet_val_tfrec/imagenet2012/1.0.0'
    >>> dataset = tfds.load('imagenet_val_tfrec', data_dir='adopted')
    >>> len(dataset['validation'])
    8
  """
  tfrec_dir, data_dir = os.fspath(tfrec_dir), os.fspath(data_dir)
  for path in filter(storage.is_remote, (tfrec_dir, data_dir)):
    raise errors.InputError(
      f'{path}: files there cannot be linked, expected a folder of this '
      'machine. Adopt here, then copy the dataset'
    )
  files = [_examine(path) for path in raw_files.legacy_shards(tfrec_dir)]
  counting.check_older([f.path for f in files], [f.length for f in files])
  splits.check_name(split)
  # TFDS would read an existing dataset, which may be damaged.
  data_dir = os.path.abspath(data_dir)
  nowhere = os.path.join(data_dir, '.nowhere')
  builder = _builder(nowhere, config)
  target = os.path.join(data_dir, os.path.relpath(builder.data_dir, nowhere))
  staging.check_absent(target, overwrite, _IN_THE_WAY)
  _check_labels(files, builder.info.features['label'].num_classes)
  with staging.open_work_dir(staging.beside(target), target) as work_dir:
    # Again: another process may have built it meanwhile.
    staging.check_absent(target, overwrite, _IN_THE_WAY)
    adopted = _builder(work_dir.path, config)
    _fill(adopted, files, split)
    staged_builder.name_default_config(builder, target)
    work_dir.publish(os.fspath(adopted.data_dir))
  return target


def _builder(
  data_dir: str, config: str | ImagenetValTfrecConfig | None
) -> tfds.core.DatasetBuilder:
  builder = imagenet_val_tfrec_dataset_builder.Builder(
    data_dir=data_dir, config=config
  )
  if builder.builder_config.with_names:
    raise errors.InputError(
      'the config says with_names, but older files hold no names'
    )
  if 'labels' in builder.info.features:
    raise errors.InputError(f'the config has {record_lib.SEVERAL}')
  if builder.info.features['label'].num_classes is None:
    raise errors.InputError(
      f'config {builder.builder_config.name!r} says neither num_classes nor '
      'class_names, expected one of them'
    )
  return builder


def _examine(path: str) -> _File:
  """Counts the records of a file, and checks the first and the last one."""
  first = last = None
  length = 0
  with storage.open_random(path) as reader:
    for frame in counting.whole_frames(reader, path):
      first, last = first or frame, frame
      length += 1
    if not first or not last:
      raise errors.InputError(f'{path}: an empty file, expected records')
    of_first = _label(reader, path, 0, first)
    of_last = _label(reader, path, length - 1, last)
    return _File(path, length, reader.size, (of_first, of_last))


def _label(
  reader: storage.RandomReader, path: str, number: int, frame: frames.Frame
) -> int:
  """Checks a record; returns its label."""
  try:
    record = record_lib.read(reader, frame)
    record_lib.check(record, jpeg.Checks())
  except (frames.RecordError, jpeg.FormatError) as e:
    raise counting.bad_record(path, number, frame.offset, str(e)) from e
  [label] = record_lib.each(record.label)
  return label


def _check_labels(files: Sequence[_File], num_classes: int) -> None:
  wrong = errors.Offenders(
    f'{file.path}: {problem}'
    for file in files
    for label in dict.fromkeys(file.labels)
    if (problem := record_lib.label_problem(label, num_classes))
  )
  if wrong:
    message = wrong.message(
      'labels of first or last records do not fit the config',
      'Say a config of that many classes: --config '
      '\'{"name": "…", "num_classes": …}\', or in Python '
      'ImagenetValTfrecConfig(name=…, num_classes=…)',
    )
    raise errors.InputError(message)


def _fill(
  builder: tfds.core.DatasetBuilder, files: Sequence[_File], split: str
) -> None:
  """Makes the builder's folder a dataset of the files."""
  folder = builder.data_path
  storage.make_folder(os.fspath(folder))
  template = tfds.core.ShardedFileTemplate(
    data_dir=folder,
    dataset_name=builder.name,
    split=split,
    filetype_suffix='tfrecord',
  )
  shards = template.sharded_filepaths(num_shards=len(files))
  for file, shard in zip(files, shards, strict=True):
    _give_name(file.path, os.fspath(shard))
  names = [shard.name for shard in shards]
  sums.write(os.fspath(folder), dict(zip(names, _digests(files), strict=True)))
  info = tfds.core.SplitInfo(
    name=split,
    shard_lengths=[file.length for file in files],
    num_bytes=sum(file.size for file in files),
    filename_template=template,
  )
  builder.info.set_splits(tfds.core.SplitDict([info]))
  name = os.path.basename(os.path.abspath(os.path.dirname(files[0].path)))
  builder.info.metadata[provenance.ADOPTED_FROM] = name
  builder.info.write_to_directory(folder)


def _digests(files: Sequence[_File]) -> Iterator[str]:
  """Syncs the files; yields the SHA-256 of each."""
  known = sums.read(os.path.dirname(files[0].path)) or {}

  def digest(file: _File) -> str:
    storage.sync(file.path)
    return known.get(os.path.basename(file.path)) or sums.of_file(file.path)

  return workers.in_order(digest, files, workers.num_cpus(), threading.Event())


def _give_name(path: str, name: str) -> None:
  """Gives a file a second name."""
  path = os.path.realpath(path)
  try:
    os.link(path, name)
  except OSError as e:
    if e.errno not in _NO_HARD_LINK:
      raise
    os.symlink(path, name)
