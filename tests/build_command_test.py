"""The command `build`: what `tfds build` makes, without TensorFlow."""

import json
import pathlib
import re
import subprocess
import sys

import making
import pytest
import tensorflow_datasets as tfds

from imagenet_val_tfrec import __main__
from imagenet_val_tfrec.writing import shards

IMAGES = ['--manual_dir', str(making.DUMMY)]
FLOWERS = {
  'name': 'flowers',
  'image_dir': str(making.DUMMY / 'val_images'),
  'label_file': str(making.DUMMY / 'val.txt'),
}
FLOWERS_FLAGS = ['--config', json.dumps(FLOWERS)]


def build(*arguments: str) -> int:
  return __main__.main(['build', *arguments])


def files_in(folder: pathlib.Path) -> dict[str, bytes]:
  """Returns the contents of all files below a folder, by their names."""
  paths = [path for path in folder.rglob('*') if path.is_file()]
  return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_same_files_as_tfds_build(tmp_path):
  """Which is on Beam here; it says little, and no class names."""
  names = [f'class {i}' for i in range(1000)]
  flags = [
    *('--config', json.dumps(FLOWERS | {'class_names': names})),
    *('--num_shards', '3', '--max_examples_per_split', '7', '--data_dir'),
  ]
  module = 'tensorflow_datasets.scripts.cli.main'
  beam = '--beam_pipeline_options=runner=DirectRunner'
  run = subprocess.run(
    [
      *(sys.executable, '-m', module, 'build', 'imagenet_val_tfrec', beam),
      *(*flags, str(tmp_path / 'tfds')),
    ],
    check=True,
    capture_output=True,
    text=True,
    cwd=making.ROOT,
  )
  assert build(*flags, str(tmp_path / 'ours')) == 0
  ours, theirs = files_in(tmp_path / 'ours'), files_in(tmp_path / 'tfds')
  assert ours == theirs
  assert sum('.tfrecord-0' in name for name in ours) == 3
  assert '\nbuilt: 7 images in 3 shards, ' in run.stdout
  assert 'class 1' not in run.stdout + run.stderr
  assert set(re.findall(r'(?<=INFO\[)\w+', run.stdout)) <= {
    'build',
    'cli_utils',
  }


# Builds; says what is loaded; and builds where that cannot be imported.
LIGHT = """
import sys
from imagenet_val_tfrec import __main__
*arguments, data_dir = sys.argv[1:]
assert __main__.main([*arguments, data_dir]) == 0
heavy = ['tensorflow', 'keras', 'apache_beam', 'pandas', 'jax', 'torch']
print([name for name in heavy if name in sys.modules])
sys.modules.update(dict.fromkeys(heavy))
assert __main__.main([*arguments, data_dir + '2']) == 0
"""


def test_nothing_heavy_is_loaded_or_needed(tmp_path):
  data_dir = tmp_path / 'data'
  run = subprocess.run(
    [
      *(sys.executable, '-W', 'error', '-c', LIGHT),
      *('build', *IMAGES, '--data_dir', str(data_dir)),
    ],
    check=True,
    capture_output=True,
    text=True,
  )
  built, loaded, _ = run.stdout.splitlines()
  assert built == line('built', data_dir)
  assert loaded == '[]'
  said = filter(None, run.stderr.splitlines())
  assert {text.partition(':')[0] for text in said} == {'Writing'}


def line(how: str, data_dir: pathlib.Path, name: str = '') -> str:
  folder = data_dir / 'imagenet_val_tfrec' / (name or 'imagenet2012') / '1.0.0'
  name = f'imagenet_val_tfrec/{name}'.strip('/')
  return (
    f'{how}: 8 images in 1 shard, 0.1 MB: {folder}: '
    f"tfds.load('{name}', split='validation', data_dir={str(data_dir)!r})"
  )


def test_a_line_says_what_was_done(tmp_path, capsys):
  data_dir = tmp_path / "it's"
  for name, flags in (('', IMAGES), ('flowers', FLOWERS_FLAGS)):
    flags = [*flags, '--data_dir', str(data_dir)]
    for more, how in (
      ([], 'built'),
      ([], 'already there, checked'),
      (['--workers', '1', '--overwrite'], 'built'),
    ):
      assert build(*flags, *more) == 0
      said = capsys.readouterr().out
      assert said == line(how, data_dir, name) + '\n'
    assert len(eval(said[said.index('tfds.load') :])) == 8
  assert build('--data_dir', str(data_dir)) == 0
  how = 'already there, not compared, as there is no input'
  assert capsys.readouterr() == (line(how, data_dir) + '\n', '')


def test_a_home_is_found(tmp_path, monkeypatch, capsys):
  """No shell replaces the tilde in `--manual_dir=~/manual`."""
  monkeypatch.setenv('HOME', str(tmp_path))
  (tmp_path / 'manual').symlink_to(making.DUMMY)
  for how in ('built', 'already there, checked'):
    assert build('--manual_dir=~/manual', '--data_dir=~/data') == 0
    assert capsys.readouterr() == (line(how, tmp_path / 'data') + '\n', '')


def test_where_tfds_looks_by_itself(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(tfds.core.constants, 'DATA_DIR', str(tmp_path))
  assert build(*IMAGES, '--file_format', 'array_record') == 0
  call = "tfds.data_source('imagenet_val_tfrec', split='validation')\n"
  assert capsys.readouterr().out.endswith(call)


@pytest.mark.parametrize(
  ('flags', 'said'),
  [
    (['--manual_dir', '/nowhere'], 'no ImageNet validation images in /nowh'),
    (['--config', 'nope'], "config is 'nope', expected imagenet2012"),
    (['--config', '{name: 5}'], "--config is '{name: 5}', no JSON"),
    (['--config', '{"folder": "x"}'], "unexpected option 'folder'; expected"),
    (['--config', '{"name": "a b"}'], "name is 'a b', expected letters"),
    ([*IMAGES, '--num_shards', '9'], '9 shards for 8 images'),
    ([*IMAGES, '--num_shards', '-1'], '-1 shards'),
    ([*IMAGES, '--max_shard_size_mb', '-1'], 'max_shard_size'),
    ([*IMAGES, '--max_examples_per_split', '-3'], '-3 examples are asked'),
    ([*IMAGES, '--file_format', 'parquet'], "file_format is 'parquet', exp"),
    ([*IMAGES, '--workers', '5000'], 'workers is 5,000, expected 0 to 1,000'),
  ],
)
def test_errors_are_said_in_a_line(tmp_path, capsys, flags, said):
  assert build(*flags, '--data_dir', str(tmp_path / 'data')) == 1
  out, err = capsys.readouterr()
  assert not out
  assert err.lower().startswith('error: ')
  assert said.lower() in err.lower()
  assert not making.left_behind(tmp_path)


def test_fail_if_exists(tmp_path, capsys):
  flags = [*IMAGES, '--data_dir', str(tmp_path), '--fail_if_exists']
  assert build(*flags) == 0
  for more in ([], ['--overwrite']):
    assert build(*flags, *more) == 1
    assert 'there is a dataset already' in capsys.readouterr().err


def test_interrupted_and_resumed(tmp_path, monkeypatch, capsys):
  """What is said stands on lines of its own, above the bar."""
  flags = [*IMAGES, '--data_dir', str(tmp_path), '--num_shards', '3']
  write_plans = shards.write_plans

  def interrupt(*args, **kwargs):
    write_plans(*args, **kwargs)
    raise KeyboardInterrupt

  monkeypatch.setattr(tfds.core.utils.tqdm_utils, '_active', True)
  with monkeypatch.context() as patch:
    patch.setattr(shards, 'write_plans', interrupt)
    assert build(*flags) == 130
  at = tmp_path / 'imagenet_val_tfrec/incomplete.imagenet2012.1.0.0'
  told = f'interrupted; finished work stays in {at}; run the same command to'
  assert f'\n{told} continue\n' in capsys.readouterr().err
  assert build(*flags) == 0
  lines = re.split('[\r\n]', capsys.readouterr().err)
  assert 'resuming: 3 of 3 shards were complete' in lines
  assert any(line.startswith('Writing: 100%') for line in lines)
