"""A TFDS builder whose work is kept in a work directory until it is done.

TFDS's own builder deletes a dataset before it builds another one, and takes
whatever is there for the answer (docs/faults.py overwrite, empty_folder).
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any, NamedTuple

import tensorflow_datasets as tfds

from imagenet_val_tfrec.core import command_line, errors, small_files, storage
from imagenet_val_tfrec.dataset import provenance
from imagenet_val_tfrec.records import sums
from imagenet_val_tfrec.writing import staging

_JUST_BUILT = (
  'It was just built by another process, or put back as an interrupted '
  '--overwrite was about to replace it; run this again'
)
# What TFDS writes anew in the mode UPDATE_DATASET_INFO.
_UPDATED = ('dataset_info.json', 'metadata.json')


class _Building(NamedTuple):
  """What is known while a dataset is built."""

  work_dir: staging.WorkDir
  manual_dir: str


class StagedBuilder(
  tfds.core.GeneratorBasedBuilder,
  skip_registration=True,  # type: ignore[call-arg]
):
  """Builds all or nothing; asks where a dataset is from before it is used."""

  _building: _Building | None = None
  # The dataset's place, and why TFDS cannot open what is there.
  _closed: tuple[str, str] | None = None
  _is_checked = False
  # What `tfds build --fail_if_exists` asks for.
  fail_if_exists = False
  # Of a dataset that was there, if it could be compared with today's input.
  _is_compared: bool | None = None

  def __init__(self, **kwargs: Any):
    self._asked_format = kwargs.get('file_format')
    try:
      super().__init__(**kwargs)
    except ValueError as e:
      config = kwargs.get('config')
      if not isinstance(config, str) or config in self.builder_configs:
        raise
      raise errors.InputError(
        f'config is {config!r}, expected {", ".join(self.builder_configs)}, or '
        f'one that says more: {errors.CONFIG}'
      ) from e
    if self._closed:
      self._data_dir, _ = self._closed
      self.info.update_data_dir(self._data_dir)

  def _build_data_dir(self, given_data_dir: str | None) -> tuple[str, str]:
    """Returns the data_dir, and the dataset's place in it.

    If TFDS cannot read a dataset, it makes no builder (see
    docs/faults.py damaged_metadata). So it is shown a place where nothing is;
    then the builder can say what is wrong, or replace it.
    """
    storage.check_for_tfds(given_data_dir or '')
    root, folder = super()._build_data_dir(given_data_dir)
    why = provenance.why_closed(folder, self._asked_format)
    self._closed = (folder, why) if why else None
    return root, os.path.join(root, '.nowhere') if why else folder

  @command_line.as_in_our_commands()
  def download_and_prepare(
    self,
    *,
    download_dir: Any = None,
    download_config: tfds.download.DownloadConfig | None = None,
    **kwargs: Any,
  ) -> None:
    """Builds the dataset; see `tfds.core.DatasetBuilder`.

    It replaces an old dataset only when it is complete and checked.

    Raises:
      errors.InputError: if the input cannot be used, another process is
        building the same dataset, or one is there that is not whole, or that
        was made from other input than today's.
    """
    config = download_config or tfds.download.DownloadConfig()
    mode = config.download_mode
    if mode == tfds.download.GenerateMode.UPDATE_DATASET_INFO:
      known = sums.read(self.data_dir)
      super().download_and_prepare(download_config=config, **kwargs)
      if known is not None:
        kept = {n: d for n, d in known.items() if n not in _UPDATED}
        staging.seal(self.data_dir, kept)
      return
    target = self.data_dir
    if self.fail_if_exists or command_line.must_not_exist():
      staging.check_absent(target, False, 'That fails, by --fail_if_exists')
    downloads = os.path.join(self._data_dir_root, 'downloads')
    download_dir = download_dir or downloads
    manual_dir = config.manual_dir or os.path.join(download_dir, 'manual')
    manual_dir = os.path.expanduser(manual_dir)
    storage.check_for_tfds(manual_dir)
    if storage.exists(target) and not mode.overwrite_dataset:
      if self._closed:
        raise errors.InputError(self._closed[1])
      # A plain `tfds.load` asks for no number of examples.
      limit = config.max_examples_per_split or 0 if download_config else None
      self._is_compared = provenance.check(
        self, manual_dir, limit, bool(config.manual_dir)
      )
      staging.clear(staging.beside(target), target)
    else:
      self._build(manual_dir, download_dir, config, **kwargs)
    self._is_checked = True
    if command_line.is_tfds_build():
      print(self.in_a_line())

  def in_a_line(self) -> str:
    """Says what was built or found, where it is, and how to load it."""
    how = {
      None: 'built',
      True: 'already there, checked',
      False: 'already there, not compared, as there is no input',
    }[self._is_compared]
    splits = list(self.info.splits.values())
    images = sum(split.num_examples for split in splits)
    shards = sum(split.num_shards for split in splits)
    name, config = self.name, self.builder_config.name
    if config != self.default_builder_config.name:
      name = f'{name}/{config}'
    options = [repr(name)]
    if len(splits) == 1:
      options.append(f'split={splits[0].name!r}')
    if (root := os.fspath(self.data_dir_root)) != tfds.core.constants.DATA_DIR:
      options.append(f'data_dir={root!r}')
    is_tfrecord = self.info.file_format.value == 'tfrecord'
    load = 'load' if is_tfrecord else 'data_source'
    return (
      f'{how}: {images:,} images in {shards:,} '
      f'{"shard" if shards == 1 else "shards"}, '
      f'{self.info.dataset_size / 1e6:,.1f} MB: '
      f'{errors.shown(os.fspath(self.data_dir))}: '
      f'tfds.{load}({", ".join(options)})'
    )

  def _build(
    self,
    manual_dir: str,
    download_dir: Any,
    config: tfds.download.DownloadConfig,
    **kwargs: Any,
  ) -> None:
    """Builds the dataset, and replaces one that is there."""
    target = self.data_dir
    with staging.open_work_dir(staging.beside(target), target) as work_dir:
      overwrite = config.download_mode.overwrite_dataset
      staging.check_absent(target, overwrite, _JUST_BUILT)
      building = _Building(work_dir, manual_dir)
      # TFDS names the default config two folders above, and does not sync it.
      built = os.path.join(work_dir.path, 'dataset', 'config', 'version')
      with (
        storage.filled_here(built) as here,
        tfds.core.utils.temporary_assignment(self, '_building', building),
        tfds.core.utils.temporary_assignment(self, '_data_dir', here),
        # There TFDS sees no disk, and does not want room for the old dataset.
        tfds.core.utils.temporary_assignment(self, '_data_dir_root', built),
      ):
        super().download_and_prepare(
          download_dir=download_dir,
          download_config=config.replace(try_download_gcs=False),
          **kwargs,
        )
      for name in sums.read(built) or ():
        finished = os.path.join(work_dir.shards, name)
        storage.link(finished, os.path.join(built, name))
      name_default_config(self, target)
      work_dir.publish(built)
    self._closed = None
    self.info.update_data_dir(target)

  def is_prepared(self) -> bool:
    """Whether the dataset is there, and this builder has built or checked it.

    TFDS asks, to skip `download_and_prepare`, or to delete the dataset before
    it (`tfds build --overwrite`). "No" is safe for both: it checks what is
    there, or replaces it once the new one is whole.
    """
    return self._is_checked and bool(super().is_prepared())

  def as_dataset(self, *args: Any, **kwargs: Any) -> Any:
    """As TFDS's; says why, if there is a dataset that cannot be read."""
    if self._closed:
      raise errors.InputError(self._closed[1])
    return super().as_dataset(*args, **kwargs)

  def _as_dataset(
    self,
    *args: Any,
    read_config: Any = None,
    shuffle_files: bool = False,
    **kwargs: Any,
  ) -> Any:
    """As TFDS's; but shuffling an ordered dataset is no error."""
    if shuffle_files:
      read_config = dataclasses.replace(
        read_config or tfds.ReadConfig(), enable_ordering_guard=False
      )
    return super()._as_dataset(
      *args, read_config=read_config, shuffle_files=shuffle_files, **kwargs
    )

  def _log_download_bytes(self) -> None:
    """Logs nothing: TFDS would report a download of unknown size."""

  def _log_download_done(self) -> None:
    """Logs nothing: the dataset is not published yet."""


def name_default_config(builder: tfds.core.DatasetBuilder, target: str) -> None:
  """Writes down, as TFDS does, which config is the default."""
  folder = os.path.join(os.path.dirname(os.path.dirname(target)), '.config')
  storage.make_folder(folder)
  default = {'default_config_name': builder.default_builder_config.name}
  path = os.path.join(folder, 'metadata.json')
  small_files.write_text(path, json.dumps(default))
  storage.sync(folder)
