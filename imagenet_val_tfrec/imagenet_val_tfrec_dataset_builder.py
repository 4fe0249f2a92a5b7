"""The TFDS builder of `imagenet_val_tfrec`."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from imagenet_val_tfrec import config as config_lib
from imagenet_val_tfrec import (
  discovery,
  errors,
  imagenet,
  join,
  progress,
  records,
  runners,
  shards,
  staging,
  storage,
)
from imagenet_val_tfrec import plan as plan_lib

ImagenetValTfrecConfig = config_lib.ImagenetValTfrecConfig

_SPLIT = 'validation'
_TFDS_CLI = 'tensorflow_datasets.scripts.cli.build'
_MANUAL = f"""\
Put the validation images of ImageNet-2012 in manual_dir, as one of:
  {discovery.TAR}, read in place (from https://image-net.org/download-images)
  a folder of images: {', '.join(discovery.IMAGES[1:])}
and, if you like, a label file: {', '.join(discovery.LABELS)}. Without one,
the true labels are used, which ship with tensorflow-datasets. Then:
  tfds build imagenet_val_tfrec --manual_dir=DIR
"""


class Builder(tfds.core.GeneratorBasedBuilder):
  """ImageNet-2012 validation, in the order of the label file.

  `_split_generators` and `_generate_examples` are all that TFDS needs. On top
  of them, `_generate_splits` writes the shards directly, in a building site
  that `download_and_prepare` opens and publishes.
  """

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES: ClassVar = {'1.0.0': 'Initial release.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = _MANUAL
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
    for i, record in enumerate(shards.read_records(shard)):
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

    Overrides a private method of TFDS 4.9.4 to 4.9.10. Where a version does
    not call it, `_split_generators` is used, which gives the same examples.
    """
    if self._site is None:
      split_infos: Sequence[tfds.core.SplitInfo] = super()._generate_splits(
        dl_manager, download_config
      )
      return split_infos
    limit = download_config.max_examples_per_split or 0
    examples = self._examples(dl_manager, limit)
    plan = self._plan(examples, download_config)
    with progress.progress_bar(
      tfds.core.utils.tqdm, images=len(examples), description='Writing'
    ) as report:
      summary = shards.write_plan(
        plan,
        self._site.shards,
        run=_runner(download_config),
        progress=report,
      )
    for filename in plan.filenames:
      storage.link(
        storage.join(self._site.shards, filename),
        storage.join(self.data_dir, filename),
      )
    self.info.metadata.clear()
    self.info.metadata.update(_provenance(examples, summary))
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
      self._check_existing(wish, download_dir)
      return
    with staging.open_site(_site_path(target), target) as site:
      built = storage.join(site.path, 'dataset')
      with _assigned(self, _site=site, _data_dir=built):
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
    prepared: bool = super().is_prepared()
    return prepared

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
    return config.examples(lambda: os.fspath(dl_manager.manual_dir), limit)

  def _plan(
    self,
    examples: join.Examples,
    download_config: tfds.download.DownloadConfig,
  ) -> plan_lib.Plan:
    """Asks TFDS for number, names and format of the shards."""
    file_format = self.info.file_format.value
    if file_format not in shards.FILE_FORMATS:
      raise errors.InputError(
        f'file_format is {file_format!r}, expected one of '
        f'{", ".join(map(repr, shards.FILE_FORMATS))}: the others do not read '
        'back every example in order'
      )
    shard_config = download_config.get_shard_config()
    lengths = plan_lib.shard_lengths(
      examples.sizes,
      shard_config.get_number_shards(
        examples.image_bytes() + len(examples) * records.MAX_OVERHEAD,
        len(examples),
      ),
      max_bytes=None
      if shard_config.num_shards
      else shard_config.max_shard_size,
    )
    template = self._get_filename_template(_SPLIT)
    paths = template.sharded_filepaths(num_shards=len(lengths))
    return plan_lib.Plan(
      examples=examples,
      lengths=lengths,
      filenames=[path.name for path in paths],
      file_format=file_format,
      checks=self.builder_config.checks(),
    )

  def _check_existing(
    self, download_config: tfds.download.DownloadConfig, download_dir: Any
  ) -> None:
    """Raises InputError unless what is there is what would be built."""
    advice = 'Build with --overwrite to replace it, or remove the folder.'
    missing = [
      os.fspath(path)
      for split in self.info.splits.values()
      for path in split.filepaths
      if not storage.exists(os.fspath(path))
    ]
    if missing or not self.info.splits or not super().is_prepared():
      raise errors.InputError(
        f'{self.data_dir}: there is a folder, but no whole dataset in it '
        f'(missing: {errors.some(missing) or "dataset_info.json"}). {advice}'
      )
    manual = self._make_download_manager(
      download_dir=download_dir, download_config=download_config
    )
    limit = download_config.max_examples_per_split or 0
    try:
      examples = self._examples(manual, limit)
    except (FileNotFoundError, AssertionError):
      return  # The input is gone, so there is nothing else to build from.
    made_from = self.info.metadata.get('fingerprint')
    if made_from != examples.fingerprint():
      raise errors.InputError(
        f'{self.data_dir}: this dataset was made from other input: '
        f'{self.info.splits.total_num_examples:,} images, fingerprint '
        f"{made_from}; today's input is {len(examples):,} images, fingerprint "
        f'{examples.fingerprint()}. {advice} To load it as it is: '
        'tfds.load(…, download=False)'
      )


def _runner(config: tfds.download.DownloadConfig) -> runners.Runner:
  """Returns Beam where it was asked for, else threads."""
  if config.beam_runner is None and config.beam_options is None:
    return runners.run_threads
  return functools.partial(
    runners.run_beam, runner=config.beam_runner, options=config.beam_options
  )


def _site_path(target: str) -> str:
  """Returns the building site: beside the config's folder, out of its way."""
  above, version = os.path.split(target)
  above, config = os.path.split(above)
  return storage.join(above, f'incomplete.{config}.{version}')


@contextlib.contextmanager
def _assigned(target: Any, **values: Any) -> Iterator[None]:
  """Sets attributes for a while."""
  before = {name: getattr(target, name) for name in values}
  vars(target).update(values)
  try:
    yield
  finally:
    vars(target).update(before)


def _provenance(
  examples: join.Examples, summary: shards.Summary
) -> dict[str, Any]:
  """Returns what the dataset was made from, for `info.metadata`."""
  return {
    'source_kind': examples.source.kind,
    'source_name': os.path.basename(examples.source.path.rstrip('/')),
    'label_file': os.path.basename(examples.labels.path),
    'label_file_sha256': examples.labels.sha256,
    'images': len(examples),
    'image_bytes': examples.image_bytes(),
    'chans': summary.chans,
    'fingerprint': examples.fingerprint(),
  }
