"""Where we depend on what TFDS does not document.

If TFDS moves a hook, a test here fails and names the hook, what was expected,
what was found, and the function of ours to mend.
"""

import inspect
import pkgutil
import re
import sys

import making
import pytest
import tensorflow_datasets as tfds

import imagenet_val_tfrec
from imagenet_val_tfrec.core import command_line
from imagenet_val_tfrec.dataset import staged_builder

_BUILDER = 'imagenet_val_tfrec_dataset_builder.Builder'
_STAGED = 'dataset.staged_builder.StagedBuilder'

# The methods of TFDS that a builder of ours overrides: its signature, and ours.
OVERRIDDEN = [
  (
    'core.GeneratorBasedBuilder._generate_splits',
    '(self, dl_manager, download_config)',
    f'{_BUILDER}._generate_splits',
  ),
  (
    'core.DatasetBuilder._build_data_dir',
    '(self, given_data_dir)',
    f'{_STAGED}._build_data_dir',
  ),
  (
    'core.GeneratorBasedBuilder._as_dataset',
    '(self, split, decoders=None, read_config=None, shuffle_files=False)',
    f'{_STAGED}._as_dataset',
  ),
  (
    'core.DatasetBuilder._log_download_bytes',
    '(self)',
    f'{_STAGED}._log_download_bytes',
  ),
  (
    'core.DatasetBuilder._log_download_done',
    '(self)',
    f'{_STAGED}._log_download_done',
  ),
  ('core.DatasetBuilder.is_prepared', '(self)', f'{_STAGED}.is_prepared'),
  ('core.DatasetBuilder.as_dataset', '.split', f'{_STAGED}.as_dataset'),
  (
    'core.DatasetBuilder.download_and_prepare',
    '.download_dir .download_config',
    f'{_STAGED}.download_and_prepare',
  ),
]

# What else of TFDS is used: its signature or, after dots, the attributes and
# parameters that it must have; and a function that uses it.
USED = [
  (
    'download.DownloadManager',
    '.manual_dir',
    f'{_BUILDER}._generate_splits',
  ),
  ('core.DatasetBuilder', '.builder_configs', f'{_STAGED}.__init__'),
  (
    'core.GeneratorBasedBuilder._get_filename_template',
    '(self, split_name)',
    f'{_BUILDER}._generate_splits',
  ),
  (
    'core.DatasetBuilder.dataset_info_from_configs',
    '(self, **kwargs)',
    f'{_BUILDER}._info',
  ),
  (
    'core.DatasetInfo.update_data_dir',
    '(self, data_dir)',
    f'{_STAGED}._build',
  ),
  ('core.DatasetInfo.set_splits', '(self, split_dict)', 'adoption._fill'),
  (
    'core.DatasetInfo.write_to_directory',
    '(self, dataset_info_dir, all_metadata=True)',
    'adoption._fill',
  ),
  (
    'core.SplitDict',
    '(split_infos, *, dataset_name=None)',
    'adoption._fill',
  ),
  (
    'core.SplitInfo',
    '.name .shard_lengths .num_bytes .filename_template .file_instructions '
    '.filepaths',
    f'{_BUILDER}._generate_splits',
  ),
  (
    'core.utils.shard_utils.FileInstruction',
    '.filename .skip .take',
    'pipeline.read._files_of',
  ),
  (
    'core.ShardedFileTemplate',
    '.data_dir .dataset_name .split .filetype_suffix',
    'adoption._fill',
  ),
  (
    'core.ShardedFileTemplate.sharded_filepaths',
    '(self, num_shards)',
    f'{_BUILDER}._plan',
  ),
  (
    'core.utils.shard_utils.ShardConfig.get_number_shards',
    '(self, total_size, num_examples, uses_precise_sharding=True)',
    f'{_BUILDER}._plan',
  ),
  (
    'core.utils.shard_utils.ShardConfig',
    '.num_shards .max_shard_size',
    f'{_BUILDER}._plan',
  ),
  (
    'download.DownloadConfig',
    '.beam_runner .beam_options .max_examples_per_split .get_shard_config',
    f'{_BUILDER}._generate_splits',
  ),
  (
    'download.DownloadConfig',
    '.download_mode .replace .try_download_gcs',
    f'{_STAGED}._build',
  ),
  (
    'download.GenerateMode',
    '.UPDATE_DATASET_INFO .overwrite_dataset',
    f'{_STAGED}.download_and_prepare',
  ),
  (
    'core.utils.temporary_assignment',
    '(obj, attr, value)',
    f'{_STAGED}._build',
  ),
  ('core.utils.tqdm', '(*args, **kwargs)', f'{_BUILDER}._generate_splits'),
  ('ReadConfig', '.enable_ordering_guard', f'{_STAGED}._as_dataset'),
  (
    'features.FeaturesDict.from_config',
    '(root_dir)',
    'dataset.provenance._check_same_classes',
  ),
  (
    'features.ClassLabel',
    '(*, num_classes=None, names=None, names_file=None, doc=None)',
    'dataset.features.of_label',
  ),
  (
    'features.Sequence',
    '(feature, length=None, *, doc=None)',
    'dataset.features.of_label',
  ),
  ('proto.tf_example_pb2', '.Example', 'records.record._parse'),
  ('proto.tf_feature_pb2', '.Features', 'records.record._parse'),
  (
    'scripts.cli.build._make_builder',
    '.overwrite .fail_if_exists',
    'core.command_line.must_not_exist',
  ),
]

# What TFDS documents for builders to define.
_DOCUMENTED = {
  *('VERSION', 'RELEASE_NOTES', 'BUILDER_CONFIGS', 'name'),
  *('MANUAL_DOWNLOAD_INSTRUCTIONS', '_info'),
  *('_split_generators', '_generate_examples'),
}


def found_of(hook: str, expected: str) -> str:
  """Returns what TFDS has there, as a row of the table would say it."""
  try:
    thing = pkgutil.resolve_name(f'tensorflow_datasets.{hook}')
  except (AttributeError, ImportError):
    return 'nothing'
  if not expected.startswith('.'):
    signature = inspect.signature(thing)
    empty = inspect.Parameter.empty
    parameters = signature.parameters.values()
    return str(
      signature.replace(
        parameters=[p.replace(annotation=empty) for p in parameters],
        return_annotation=empty,
      )
    )
  parameters = inspect.signature(thing).parameters if callable(thing) else ()
  return ' '.join(
    name
    for name in expected.split()
    if hasattr(thing, name[1:]) or name[1:] in parameters
  )


@pytest.fixture(autouse=True)
def _not_tfds_build():
  """The command line of TFDS, imported by a test, is forgotten after it."""
  yield
  sys.modules.pop(command_line.TFDS_CLI, None)


@pytest.mark.parametrize(('hook', 'expected', 'ours'), OVERRIDDEN + USED)
def test_tfds_has_not_moved(hook, expected, ours):
  found = found_of(hook, expected)
  assert found == expected, (
    f'TFDS {tfds.__version__} moved tensorflow_datasets.{hook}: expected '
    f'{expected}, found {found}. imagenet_val_tfrec.{ours} depends on it'
  )


@pytest.mark.parametrize(('hook', 'expected', 'ours'), OVERRIDDEN + USED)
def test_the_table_says_who_depends_on_it(hook, expected, ours):
  source = inspect.getsource(pkgutil.resolve_name(f'imagenet_val_tfrec.{ours}'))
  names = [hook, *expected.split()] if expected[0] == '.' else [hook]
  assert any(name.rpartition('.')[2] in source for name in names)


@pytest.mark.parametrize(
  'ours', [imagenet_val_tfrec.Builder, staged_builder.StagedBuilder]
)
def test_no_name_of_ours_is_one_of_tfds_by_accident(ours):
  known = {hook.rpartition('.')[2] for hook, *_ in OVERRIDDEN}
  both = set(vars(ours)) & set(dir(tfds.core.GeneratorBasedBuilder))
  # TFDS and Python set some themselves.
  names = {n for n in both if not re.match('__|_abc_impl|pkg_dir_path', n)}
  assert names <= known | _DOCUMENTED


def test_tfds_calls_what_is_overridden(tmp_path, monkeypatch):
  calls = set()

  def spy_on(ours, name):
    method = vars(ours)[name]

    def spy(self, *args, **kwargs):
      calls.add(name)
      return method(self, *args, **kwargs)

    monkeypatch.setattr(ours, name, spy)

  names = {hook.rpartition('.')[2] for hook, *_ in OVERRIDDEN}
  for ours in (imagenet_val_tfrec.Builder, staged_builder.StagedBuilder):
    for name in names & vars(ours).keys():
      spy_on(ours, name)
  tfds.load(
    'imagenet_val_tfrec',
    data_dir=tmp_path,
    split='validation',
    download_and_prepare_kwargs={
      'download_config': tfds.download.DownloadConfig(manual_dir=making.DUMMY)
    },
  )
  assert names - calls == set(), 'TFDS does not call these any more'


def test_manual_dir_is_where_tfds_looks(tmp_path):
  """`StagedBuilder.download_and_prepare` reckons it out, making no folder."""
  (tmp_path / 'downloads').mkdir()
  (tmp_path / 'downloads' / 'manual').symlink_to(making.DUMMY)
  builder = imagenet_val_tfrec.Builder(data_dir=tmp_path)
  manager = builder._make_download_manager(
    download_dir=None, download_config=tfds.download.DownloadConfig()
  )
  assert manager.manual_dir == tmp_path / 'downloads' / 'manual'
  assert builder._data_dir_root == str(tmp_path)


def test_data_dir_is_where_tfds_builds_and_reads(tmp_path):
  """`StagedBuilder` sets `_data_dir` to build in the work directory."""
  builder = imagenet_val_tfrec.Builder(data_dir=tmp_path)
  with tfds.core.utils.temporary_assignment(builder, '_data_dir', '/elsewhere'):
    assert builder.data_dir == '/elsewhere'
