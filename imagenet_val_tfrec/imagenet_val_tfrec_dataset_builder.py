"""The TFDS builder of `imagenet_val_tfrec`."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from imagenet_val_tfrec.core import errors, progress
from imagenet_val_tfrec.dataset import (
  duplicates,
  features,
  provenance,
  staged_builder,
)
from imagenet_val_tfrec.dataset.config import ImagenetValTfrecConfig
from imagenet_val_tfrec.inputs import discovery, imagenet, join
from imagenet_val_tfrec.records import outputs, sums
from imagenet_val_tfrec.writing import plan as plan_lib
from imagenet_val_tfrec.writing import runners, shards


class Builder(staged_builder.StagedBuilder):
  """ImageNet-2012 validation, in the order of the label file.

  `_split_generators` and `_generate_examples` are all that TFDS needs. But
  `_generate_splits` writes the shards directly, in the base class's work
  directory.

  Example:
    >>> builder = imagenet_val_tfrec.Builder(data_dir='data')
    >>> config = tfds.download.DownloadConfig(manual_dir='dummy_data')
    >>> builder.download_and_prepare(download_config=config)
    >>> dataset = builder.as_dataset(split='validation')
    >>> [int(example['label']) for example in dataset]
    [985, 417, 970, 978, 971, 599, 920, 879]
  """

  # Where shards are written; None: as the DownloadConfig says.
  run: runners.Runner | None = None

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES: ClassVar = {'1.0.0': 'Initial release.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = discovery.INSTRUCTIONS
  BUILDER_CONFIGS: ClassVar = [
    ImagenetValTfrecConfig(
      name='imagenet2012',
      description='The 50,000 validation images and their 1,000 classes.',
      class_names=imagenet.wnids(),
      formats=('jpeg',),
    ),
  ]

  def _info(self) -> tfds.core.DatasetInfo:
    label = self.builder_config.label_feature(os.fspath(self.data_dir))
    return self.dataset_info_from_configs(
      features=tfds.features.FeaturesDict(
        {
          **label,
          **features.of_image(self.builder_config.formats),
        }
        | (features.OF_NAME if self.builder_config.with_names else {})
      ),
      supervised_keys=('image', *label),
      homepage='https://image-net.org/challenges/LSVRC/2012/',
      disable_shuffling=True,
      metadata=tfds.core.MetadataDict(),
    )

  def _split_generators(
    self, dl_manager: tfds.download.DownloadManager
  ) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
    # Asked only where it is needed: TFDS asserts that there is one.
    config: ImagenetValTfrecConfig = self.builder_config
    named = config.image_dir or config.splits
    manual_dir = '' if named else os.fspath(dl_manager.manual_dir)
    examples = self._examples(manual_dir)
    return {n: self._generate_examples(part) for n, part in examples.items()}

  def _generate_examples(
    self, examples: join.Examples
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    shard = plan_lib.Shard(
      filename='',
      file_format='',
      examples=examples,
      checks=self.builder_config.checks(),
    )
    # Small keys would all fall in one of TFDS's buckets, sorted in memory:
    # https://github.com/tensorflow/datasets/issues/3491
    step = 2**128 // len(examples)
    for i, record in enumerate(shards.read_records(shard)):
      image = {'image': io.BytesIO(record.image)}
      example = dataclasses.asdict(record) | image
      example['labels'] = record.label
      yield i * step, {name: example[name] for name in self.info.features}

  def _generate_splits(
    self,
    dl_manager: tfds.download.DownloadManager,
    download_config: tfds.download.DownloadConfig,
  ) -> Sequence[tfds.core.SplitInfo]:
    """Writes the plan's shards directly; TFDS's own path is the fallback.

    Overrides a private method of TFDS 4.9.8 to 4.9.10. Where a version does
    not call it, `_split_generators` is used, which gives the same examples.
    """
    if self._building is None:
      split_infos: Sequence[tfds.core.SplitInfo] = super()._generate_splits(
        dl_manager, download_config
      )
      return split_infos
    limit = download_config.max_examples_per_split or 0
    try:
      manual_dir = os.fspath(dl_manager.manual_dir)
    except AssertionError:  # It is missing or empty: say so in other words.
      manual_dir = self._building.manual_dir
    config: ImagenetValTfrecConfig = self.builder_config
    examples = self._examples(manual_dir, limit)
    shard_config = download_config.get_shard_config()
    plans = {n: self._plan(n, examples, shard_config) for n in examples}
    run = self.run or runners.choose(
      download_config.beam_runner, download_config.beam_options
    )
    folder = self._building.work_dir.shards
    total = sum(map(len, examples.values()))
    with progress.progress_bar(
      tfds.core.utils.tqdm, images=total, description='Writing'
    ) as report:
      written = shards.write_plans(
        [*plans.values()], folder, run=run, progress=report
      )
    summaries = dict(zip(plans, written, strict=True))
    keys = {name: summary.keys for name, summary in summaries.items()}
    doubles = duplicates.check(examples, keys, config.refuse_duplicates)
    sums.write(
      self.data_dir, {k: v for s in written for k, v in s.sums.items()}
    )
    self.info.metadata.clear()
    self.info.metadata.update(
      provenance.describe(examples, summaries, config, limit, doubles)
    )
    return [
      tfds.core.SplitInfo(
        name=name,
        shard_lengths=list(plan.lengths),
        num_bytes=sum(summaries[name].sizes),
        filename_template=self._get_filename_template(name),
      )
      for name, plan in plans.items()
    ]

  def _plan(
    self, split: str, splits: Mapping[str, join.Examples], shard_config: Any
  ) -> plan_lib.Plan:
    """Plans the shards of a split as TFDS would lay them out.

    Its `ShardConfig` decides on their number, but not by its `max_shard_size`
    (docs/faults.py max_shard_size): we do.
    """
    file_format = self.info.file_format.value
    if file_format not in outputs.FILE_FORMATS:
      raise errors.InputError(
        f'file_format is {file_format!r}, expected one of '
        f'{", ".join(map(repr, outputs.FILE_FORMATS))}: the others do not read '
        'back every example in order'
      )
    examples = splits[split]
    overhead = examples.overhead()
    total = examples.image_bytes() + len(examples) * overhead
    lengths = plan_lib.shard_lengths(
      examples.sizes,
      shard_config.get_number_shards(total, len(examples)),
      max_bytes=0 if shard_config.num_shards else shard_config.max_shard_size,
      overhead=overhead,
    )
    template = self._get_filename_template(split)
    paths = template.sharded_filepaths(num_shards=len(lengths))
    return plan_lib.Plan(
      examples=examples,
      lengths=lengths,
      filenames=[path.name for path in paths],
      file_format=file_format,
      checks=self.builder_config.checks(),
      with_keys=len(splits) > 1,
    )

  def _examples(
    self, manual_dir: str, limit: int = 0
  ) -> dict[str, join.Examples]:
    # Direct writing does not encode labels, so TFDS does not check their range.
    config: ImagenetValTfrecConfig = self.builder_config
    return config.examples(manual_dir, limit, self.info.features)
