"""The TFDS builder of `imagenet_val_tfrec`."""

from __future__ import annotations

import dataclasses
import functools
import io
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from imagenet_val_tfrec import (
  discovery,
  imagenet,
  join,
  layout,
  progress,
  provenance,
  reading,
  runners,
  shards,
  staging,
  storage,
)
from imagenet_val_tfrec import plan as plan_lib
from imagenet_val_tfrec.config import ImagenetValTfrecConfig

_SPLIT = 'validation'
_TFDS_CLI = 'tensorflow_datasets.scripts.cli.build'


class Builder(tfds.core.GeneratorBasedBuilder):
  """ImageNet-2012 validation, in the order of the label file.

  `_split_generators` and `_generate_examples` are all that TFDS needs. On top
  of them, `_generate_splits` writes the shards directly, in a building site
  that `download_and_prepare` opens and publishes.
  """

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES: ClassVar = {'1.0.0': 'Initial release.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = discovery.INSTRUCTIONS
  BUILDER_CONFIGS: ClassVar = [
    ImagenetValTfrecConfig(
      name='imagenet2012',
      description='The 50,000 validation images and their 1,000 classes.',
      class_names=imagenet.wnids(),
    ),
  ]
  _site: staging.Site | None = None

  def _info(self) -> tfds.core.DatasetInfo:
    integer = functools.partial(tfds.features.Scalar, dtype=np.int64)
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        {
          'label': self.builder_config.label_feature(),
          'height': integer(doc='Height in pixels, from the JPEG header.'),
          'width': integer(doc='Width in pixels, from the JPEG header.'),
          'chans': integer(doc='Channels stored: 1 gray, 3 colour, 4 CMYK.'),
          'image': tfds.features.Image(
            shape=(None, None, 3),
            encoding_format='jpeg',
            doc="The JPEG file's own bytes; decodes to uint8 [h, w, 3].",
          ),
        }
      ),
      supervised_keys=('image', 'label'),
      homepage='https://image-net.org/challenges/LSVRC/2012/',
      disable_shuffling=True,
      metadata=tfds.core.MetadataDict(),
    )

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
    examples = self._examples(dl_manager)
    return {_SPLIT: self._generate_examples(examples)}

  def _generate_examples(
    self, examples: join.Examples
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    shard = plan_lib.one_shard(examples, self.builder_config.checks())
    # Keys are spread over all of TFDS's sorting buckets: small ones would all
    # fall in one, which is sorted in memory.
    step = 2**128 // len(examples)
    for i, record in enumerate(reading.read_records(shard)):
      yield (
        i * step,
        {
          'label': record.label,
          'height': record.height,
          'width': record.width,
          'chans': record.chans,
          'image': io.BytesIO(record.image),
        },
      )

  def _generate_splits(
    self,
    dl_manager: tfds.download.DownloadManager,
    download_config: tfds.download.DownloadConfig,
  ) -> Sequence[tfds.core.SplitInfo]:
    """Writes the plan's shards directly; TFDS's own path is the fallback.

    Overrides a private method of TFDS 4.9.8 to 4.9.10. Where a version does
    not call it, `_split_generators` is used, which gives the same examples.
    """
    if self._site is None:
      split_infos: Sequence[tfds.core.SplitInfo] = super()._generate_splits(
        dl_manager, download_config
      )
      return split_infos
    limit = download_config.max_examples_per_split or 0
    examples = self._examples(dl_manager, limit)
    plan = layout.plan_shards(
      examples,
      self._get_filename_template(_SPLIT),
      self.info.file_format,
      download_config.get_shard_config(),
      self.builder_config.checks(),
    )
    with progress.progress_bar(
      tfds.core.utils.tqdm, images=len(examples), description='Writing'
    ) as report:
      summary = shards.write_plan(
        plan,
        self._site.shards,
        run=runners.choose(
          download_config.beam_runner, download_config.beam_options
        ),
        progress=report,
      )
    for filename in plan.filenames:
      storage.link(
        os.path.join(self._site.shards, filename),
        os.path.join(self.data_dir, filename),
      )
    self.info.metadata.clear()
    self.info.metadata.update(provenance.describe(examples, summary))
    return [
      tfds.core.SplitInfo(
        name=_SPLIT,
        shard_lengths=list(plan.lengths),
        num_bytes=sum(summary.sizes),
        filename_template=self._get_filename_template(_SPLIT),
      )
    ]

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
      manager = self._make_download_manager(
        download_dir=download_dir, download_config=wish
      )
      limit = wish.max_examples_per_split or 0
      provenance.check(self, lambda: self._examples(manager, limit))
      staging.clear(staging.beside(target), target)
      return
    with staging.open_site(staging.beside(target), target) as site:
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
    of_cli = caller.f_globals.get('__name__') == _TFDS_CLI
    if of_cli and caller.f_locals.get('overwrite'):
      return False
    return storage.exists(self.data_dir) and bool(super().is_prepared())

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

  def _examples(
    self, dl_manager: tfds.download.DownloadManager, limit: int = 0
  ) -> join.Examples:
    config: ImagenetValTfrecConfig = self.builder_config
    examples = config.examples(lambda: os.fspath(dl_manager.manual_dir), limit)
    # Direct writing does not encode labels, so nobody else would look.
    number = self.info.features['label'].num_classes
    if number is not None:
      examples.labels.check_range(number)
    return examples
