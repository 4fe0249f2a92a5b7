"""A TFDS builder whose work stands in a building site until it is done.

TFDS's own builder deletes a dataset before it builds another one, and takes
whatever is there for the answer. What is changed here is what happens around
the building; what is built is for the subclass to say.
"""

from __future__ import annotations

import abc
import dataclasses
import os
import sys
from typing import Any

import tensorflow_datasets as tfds

from imagenet_val_tfrec import (
  command_line,
  join,
  provenance,
  staging,
  storage,
)


class StagedBuilder(
  tfds.core.GeneratorBasedBuilder,
  skip_registration=True,  # type: ignore[call-arg]
):
  """Builds all or nothing; asks where a dataset is from before it is used."""

  _site: staging.Site | None = None
  _damaged = ''  # The dataset's place, if what is there cannot be read.

  def __init__(self, **kwargs: Any):
    command_line.tell_briefly()
    super().__init__(**kwargs)
    if self._damaged:
      self._data_dir = self._damaged
      self.info.update_data_dir(self._data_dir)

  def _build_data_dir(self, given_data_dir: str | None) -> tuple[str, str]:
    """Returns the data_dir, and the dataset's place in it.

    TFDS reads what is there next. If that is damaged, it is shown a place where
    nothing is; so the builder can say what is wrong, or replace it.
    """
    root, folder = super()._build_data_dir(given_data_dir)
    self._damaged = folder if provenance.is_damaged(folder) else ''
    return root, os.path.join(root, '.nowhere') if self._damaged else folder

  @abc.abstractmethod
  def _examples(
    self, dl_manager: tfds.download.DownloadManager, limit: int = 0
  ) -> join.Examples:
    """Returns the first examples of today's input (0: all)."""

  def download_and_prepare(
    self,
    *,
    download_dir: Any = None,
    download_config: tfds.download.DownloadConfig | None = None,
    **kwargs: Any,
  ) -> None:
    """Builds the dataset; see `tfds.core.DatasetBuilder`.

    Until all is done, and checked, it stands in a building site beside its
    place, and so does a dataset that replaces another one.

    Raises:
      errors.InputError: if the input cannot be used, another process is
        building the same dataset, or one is there that is not whole, or that
        was made from other input than today's.
    """
    wish = download_config or tfds.download.DownloadConfig()
    mode = wish.download_mode
    if mode == tfds.download.GenerateMode.UPDATE_DATASET_INFO:
      super().download_and_prepare(download_config=wish, **kwargs)
      return
    target = self.data_dir
    if storage.exists(target) and not mode.overwrite_dataset:
      limit = wish.max_examples_per_split or 0

      def find() -> join.Examples:
        # It makes folders, which a dataset that is only read may not.
        manager = self._make_download_manager(
          download_dir=download_dir, download_config=wish
        )
        return self._examples(manager, limit)

      config = self.builder_config
      provenance.check(
        self,
        find,
        checks=config.checks(),
        limit=limit,
        is_named=bool(wish.manual_dir or config.image_dir or config.label_file),
      )
      staging.clear(staging.beside(target), target)
      return
    with (
      command_line.sigterm_unwinds_tfds_build(),
      staging.open_site(staging.beside(target), target) as site,
    ):
      provenance.check_absent(target, mode.overwrite_dataset)
      built = os.path.join(site.path, 'dataset')
      with (
        tfds.core.utils.temporary_assignment(self, '_site', site),
        tfds.core.utils.temporary_assignment(self, '_data_dir', built),
      ):
        super().download_and_prepare(
          download_dir=download_dir,
          download_config=wish.replace(try_download_gcs=False),
          **kwargs,
        )
      site.publish(built)
    self.info.update_data_dir(target)
    print(f'{self.info.full_name} is ready in {target}')

  def is_prepared(self) -> bool:
    """Whether the dataset is there.

    `tfds build --overwrite` asks, in order to delete what is there before it
    builds; it is told no, as `download_and_prepare` replaces it at the end.
    """
    caller = sys._getframe(1)
    of_cli = caller.f_globals.get('__name__') == command_line.TFDS_CLI
    if of_cli and caller.f_locals.get('overwrite'):
      return False
    return (
      storage.exists(self.data_dir)
      and not provenance.is_damaged(self.data_dir)
      and bool(super().is_prepared())
    )

  def _as_dataset(
    self,
    *args: Any,
    read_config: Any = None,
    shuffle_files: bool = False,
    **kwargs: Any,
  ) -> Any:
    """As TFDS's; but to shuffle an ordered dataset is a wish, no error."""
    if shuffle_files:
      read_config = dataclasses.replace(
        read_config or tfds.ReadConfig(), enable_ordering_guard=False
      )
    return super()._as_dataset(
      *args, read_config=read_config, shuffle_files=shuffle_files, **kwargs
    )

  def _log_download_bytes(self) -> None:
    """Says nothing: TFDS would speak of downloads, of unknown size."""

  def _log_download_done(self) -> None:
    """Says nothing: it is not done before it is published."""
