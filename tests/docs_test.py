"""README and docs: every command and every cell in them runs as it stands.

Names that stand for something of the reader's (`FOLDER`, `DATA_DIR`) are there
where it runs; numbers of the real data are those of `dummy_data`.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import warnings

import keras
import making
import numpy as np
import pytest
import stores
import tensorflow as tf
import tensorflow_datasets as tfds

import imagenet_val_tfrec
from imagenet_val_tfrec import __main__, images_to_tfrec, pipeline, verify
from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import labels as labels_lib

ROOT, DUMMY = making.ROOT, making.DUMMY
PACKAGE = ROOT / 'imagenet_val_tfrec'
PAGES = [
  *('README.md', 'CONTRIBUTING.md', 'SECURITY.md'),
  *(f'docs/{path.name}' for path in sorted((ROOT / 'docs').glob('*.md'))),
]
# In the order of dummy_data/val.txt.
LABELS = [985, 417, 970, 978, 971, 599, 920, 879]

IN_A_STORE = 'EPATH_USE_TF=false tfds '
# What this file runs: beginnings of commands.
HERE = (
  *('tfds ', IN_A_STORE, 'imagenet_val_tfrec ', 'images_to_tfrec ', 'cd data/'),
  'python benchmarks/',
)
# Commands that need a network, or hours; and where they are run, or said again.
ELSEWHERE = {
  'python3 -m venv .venv': '.ci/run',
  '.venv/bin/pip install': '.ci/run',
  '.venv/bin/tfds build': '.ci/run',
  '.venv/bin/ruff format --check .': '.ci/run',
  '.venv/bin/ruff check .': '.ci/run',
  '.venv/bin/mypy': '.ci/run',
  '.venv/bin/pytest': '.ci/run',
  'pip install PATH_OF_THE_CLONE': 'tests/house_test.py',
  'pip install . atheris': 'fuzz/fuzz.py',
  'python fuzz/fuzz.py': 'fuzz/fuzz.py',
}

# Runs `tfds` for each line of [folder, arguments], and imports it once.
TFDS = """
import json, os, sys
from tensorflow_datasets.scripts.cli import main
for line in sys.stdin:
  folder, sys.argv = json.loads(line)
  os.chdir(folder)
  try:
    main.launch_cli()
  except SystemExit as e:
    if e.code:
      raise
"""

# Loads a dataset where there is no such package as this one.
LOAD = """
import sys
sys.modules['imagenet_val_tfrec'] = None
import tensorflow_datasets as tfds
name, data_dir = sys.argv[1:]
ds = tfds.load(name, split='validation', data_dir=data_dir)
print([int(example['label']) for example in ds])
"""


def text_of(page: str) -> str:
  return (ROOT / page).read_text()


def blocks_of(page: str, *languages: str) -> list[tuple[str, str]]:
  """Returns the language and the text of each block of these languages."""
  found = re.findall(r'^```(\w*)\n(.*?)^```$', text_of(page), re.M | re.S)
  return [block for block in found if not languages or block[0] in languages]


def commands_of(block: str) -> list[str]:
  return block.replace('\\\n', '').splitlines()


def commands() -> list[tuple[str, str]]:
  """Returns every command of every page, with its page."""
  return [
    (page, command)
    for page in PAGES
    for _, block in blocks_of(page, 'sh', 'bash')
    for command in commands_of(block)
  ]


def of_tool(tool: str) -> list[str]:
  return [command for _, command in commands() if command.startswith(tool)]


@pytest.mark.parametrize('page', PAGES)
def test_blocks_are_of_a_kind_that_is_run(page):
  kinds = {'sh', 'bash', 'python', 'text'}
  assert {language for language, _ in blocks_of(page)} <= kinds


def test_commands_that_are_run_elsewhere_are_run_there():
  used = set()
  for page, command in commands():
    if command.startswith(HERE):
      continue
    start = next((s for s in ELSEWHERE if command.startswith(s)), None)
    assert start, f'{page}: nothing runs {command!r}'
    used.add(start)
  assert used == set(ELSEWHERE)
  # Which runs the blocks of the quick start, as they stand.
  quick_start = '\n'.join(text for _, text in blocks_of('README.md', 'bash'))
  for start, place in ELSEWHERE.items():
    assert start in text_of(place) + quick_start * (place == '.ci/run')


def test_one_test_is_run_as_contributors_are_told():
  (command,) = (c for c in of_tool('.venv/bin/pytest') if ' -k ' in c)
  arguments = shlex.split(command)[1:]
  run = subprocess.run(
    [sys.executable, '-m', 'pytest', '-p', 'no:cacheprovider', *arguments],
    cwd=ROOT,
    check=True,
    capture_output=True,
    text=True,
  )
  assert '1 passed' in run.stdout


@pytest.mark.parametrize('command', of_tool('python benchmarks/'))
def test_benchmarks_have_these_flags(command):
  _, *arguments = shlex.split(command)
  subprocess.run(
    [sys.executable, *arguments, '--help'],
    cwd=ROOT,
    check=True,
    capture_output=True,
  )


# --- the shell ---


def test_tfds_builds_what_the_pages_say(tmp_path):
  pictures = making.many(8)
  making.write_folder(tmp_path / 'data' / 'flowers', pictures)
  label_file = tmp_path / 'data' / 'flowers.txt'
  label_file.write_text(making.label_text(pictures, 2))
  found = of_tool('tfds ')
  # In its own process, the first one: what it does not import is not there.
  found.sort(key=lambda command: '--imports' not in command)
  lines = []
  for number, command in enumerate(found):
    command = command.replace('FOLDER', str(DUMMY))
    command = command.replace('/data/', f'{tmp_path}/data/')
    folder = tmp_path if '--imports' in command else ROOT
    built = f'--data_dir={tmp_path / str(number)}'
    lines.append(json.dumps([str(folder), [*shlex.split(command), built]]))
  (command,) = of_tool(IN_A_STORE)
  command = command.replace('BUCKET', stores.BUCKET).partition(' ')[2]
  lines.append(json.dumps([str(ROOT), shlex.split(command)]))
  with stores.s3() as store:
    store.system.put(str(DUMMY), f'{stores.BUCKET}/FOLDER', recursive=True)
    subprocess.run(
      [sys.executable, '-c', TFDS],
      input='\n'.join(lines),
      env={**os.environ, 'PYTHONPATH': str(ROOT), 'EPATH_USE_TF': 'false'},
      check=True,
      text=True,
    )
    there = store.system.find(f'{stores.BUCKET}/data')
    (shard,) = (path for path in there if '.tfrecord-' in path)
    in_store = store.system.cat_file(shard)
  (shard,) = (tmp_path / '0').rglob(f'*{pathlib.Path(shard).name}')
  assert shard.read_bytes() == in_store
  assert len(found) == 4
  for number, command in enumerate(found):
    is_flowers = 'flowers' in command
    name = 'imagenet_val_tfrec' + '/flowers' * is_flowers
    builder = tfds.builder(name, data_dir=tmp_path / str(number))
    expected = [0, 1] * 4 if is_flowers else LABELS
    assert making.labels_in(builder) == expected
    if is_flowers:
      assert builder.info.features['label'].names == ['rose', 'tulip']
      assert f"tfds.load('{name}', split='validation')" in text_of('README.md')
      run = subprocess.run(
        [sys.executable, '-c', LOAD, name, str(tmp_path / str(number))],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
      )
      assert run.stdout.splitlines()[-1] == str(expected)


# --- Python ---


class SmallModel(tf.keras.Sequential):
  """What stands for ResNet50; two of them are the same."""

  def __init__(self, weights='imagenet', classes=1000):
    del weights
    tf.keras.utils.set_random_seed(1)
    super().__init__(
      [
        tf.keras.layers.Input([224, 224, 3]),
        tf.keras.layers.AveragePooling2D(56),
        tf.keras.layers.Rescaling(1 / 127.5),
        tf.keras.layers.Flatten(),
        tf.keras.layers.Dense(classes, activation='softmax'),
      ]
    )


@pytest.fixture
def place(tmp_path, monkeypatch) -> pathlib.Path:
  """A folder with all that the pages name, and nothing else."""
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'FOLDER').symlink_to(DUMMY)
  (tmp_path / 'val_images').symlink_to(DUMMY / 'val_images')
  (tmp_path / 'val.txt').symlink_to(DUMMY / 'val.txt')
  (tmp_path / 'flowers').symlink_to(DUMMY / 'val_images')
  (tmp_path / 'flowers.txt').symlink_to(DUMMY / 'val.txt')
  monkeypatch.setattr(keras.applications, 'ResNet50', SmallModel)
  data_dir = str(tmp_path / 'data')
  monkeypatch.setattr(tfds.core.constants, 'DATA_DIR', data_dir)
  return tmp_path


def run(page: str, data_dir: str = 'data') -> dict:
  """Runs all cells of a page, and this package's commands; returns the names.

  With batches of five, and the eight pictures of dummy_data.
  """
  tools = {
    'imagenet_val_tfrec': __main__.main,
    'images_to_tfrec': images_to_tfrec.main,
  }
  names = {'DATA_DIR': data_dir}
  for language, block in blocks_of(page, 'sh', 'python'):
    if language == 'python':
      block = block.replace('50_000', '8').replace(' 64', ' 5')
      block = block.replace("'/data/", "'")
      with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        exec(block, names)
      continue
    for command in commands_of(block):
      tool, *arguments = shlex.split(command)
      if tool in tools:
        assert tools[tool](arguments) == 0
      elif tool == 'cd':
        subprocess.run(command, shell=True, check=True)
  return names


def build(data_dir: str = 'data') -> imagenet_val_tfrec.Builder:
  builder = imagenet_val_tfrec.Builder(data_dir=data_dir)
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir='FOLDER')
  )
  return builder


def labels_in(dataset: tf.data.Dataset) -> list[int]:
  return [int(example['label']) for example in dataset.as_numpy_iterator()]


def test_readme(place):
  build()
  pictures = making.many(8)
  (place / 'flowers').unlink()
  for folder in ('train/rose', 'train/tulip', 'val/tulip'):
    making.write_folder(place / 'flowers' / folder, pictures)
  names = run('README.md')
  assert names['flowers'].info.splits['train'].num_examples == 16
  assert labels_in(names['flowers'].as_dataset(split='validation')) == [1] * 8
  assert [int(label) for _, label in names['ds']] == LABELS
  assert isinstance(names['model'], SmallModel)


def test_training(place):
  names = run('docs/TRAINING.md')
  assert names['label'] == LABELS[5]
  assert labels_in(names['ds']) == LABELS  # The last one: any folder.
  images = [tuple(image.shape) for image, _ in names['images']]
  assert images == [(224, 224, 3)] * 8
  assert names['train'].element_spec[0].shape == (5, 224, 224, 3)


def test_what_is_evaluated_is_right_to_the_last_example(place):
  builder = build()
  evaluate = next(
    block
    for _, block in blocks_of('docs/TRAINING.md', 'python')
    if 'model.evaluate' in block
  )
  names = {'DATA_DIR': builder}
  exec(evaluate.replace(' 64', ' 5'), names)
  metrics = names['model'].get_metrics_result()
  plain = pipeline.evaluation_dataset(builder, 8, recipe=names['recipe'])
  predicted = SmallModel().predict(plain.map(lambda images, _: images))
  expected = -np.log(predicted[range(8), LABELS]).mean()
  found = float(metrics['sparse_categorical_crossentropy'])
  assert found == pytest.approx(expected, rel=1e-4)


def test_converting(place):
  names = run('docs/CONVERTING.md')
  batches, labels = zip(*names['batches'], strict=True)
  assert [len(images) for images in batches] == [5, 3]  # None is left out.
  assert [int(label) for batch in labels for label in batch] == LABELS
  assert len(list(names['images'])) == 8
  for data_dir in ('data', 'data_of_python'):
    dataset = tfds.load(
      'imagenet_val_tfrec', split='validation', data_dir=data_dir
    )
    assert labels_in(dataset) == LABELS


def test_verifying(place, capsys):
  build()
  images_to_tfrec.make_tfrec()
  names = run('docs/VERIFYING.md')
  assert names['report'].num_records == 8
  assert capsys.readouterr().out.count(': no faults\n') == 2


def test_evaluating(place, capsys, monkeypatch):
  build()
  for name in ('MobileNetV2', 'ResNet50'):
    make = lambda weights='imagenet': SmallModel()  # noqa: E731
    monkeypatch.setattr(keras.applications, name, make)
  names = run('docs/EVALUATING.md')
  assert names['result'].labels.tolist() == LABELS
  of_cell, *of_command = capsys.readouterr().out.splitlines()
  assert of_cell == f'{names["result"]}'
  assert [line.partition(':')[0] for line in of_command] == [
    'MobileNetV2',
    'ResNet50',
  ]


# --- tables, messages, links ---


def in_table(page: str) -> set[str]:
  """Returns the names in the first column of a page's tables."""
  rows = re.findall(r'^\| (`.*?) \|', text_of(page), re.M)
  return {name for row in rows for name in re.findall(r'`(.+?)`', row)}


@pytest.mark.parametrize(
  ('page', 'main', 'arguments'),
  [
    ('docs/CONVERTING.md', images_to_tfrec.main, []),
    ('docs/CONVERTING.md', __main__.main, ['adopt']),
    ('docs/VERIFYING.md', __main__.main, ['verify']),
    ('docs/EVALUATING.md', __main__.main, ['evaluate']),
    ('docs/READERS.md', __main__.main, ['index']),
    ('docs/FOLDERS.md', __main__.main, ['inspect']),
  ],
)
def test_every_flag_is_explained(capsys, monkeypatch, page, main, arguments):
  monkeypatch.setenv('COLUMNS', '200')  # Else it breaks lines at hyphens.
  with pytest.raises(SystemExit):
    main([*arguments, '--help'])
  flags = set(re.findall(r'--\w[\w-]*', capsys.readouterr().out)) - {'--help'}
  assert flags <= in_table(page)


def test_every_option_of_the_config_is_explained():
  of_tfds = {f.name for f in dataclasses.fields(tfds.core.BuilderConfig)}
  config = imagenet_val_tfrec.ImagenetValTfrecConfig
  options = {f.name for f in dataclasses.fields(config) if f.init} - of_tfds
  assert options <= in_table('README.md')


def test_the_map_shows_every_module():
  sections = re.split(r'^## ', text_of('docs/ARCHITECTURE.md'), flags=re.M)
  for folder in ['', *(path.parent.name for path in PACKAGE.glob('*/*.py'))]:
    start = f'`{folder}/`' if folder else 'Root'
    (section,) = (s for s in sections if s.startswith(start))
    modules = {path.stem for path in (PACKAGE / folder).glob('*.py')}
    if folder:
      modules -= {'__init__'}
    assert set(re.findall(r'^\| `(\w+)` \|', section, re.M)) == modules


@pytest.mark.parametrize('page', PAGES)
def test_files_and_links_are_there(page):
  text = text_of(page)
  folder = (ROOT / page).parent
  for path, anchor in re.findall(r'\]\((?!https?:)([^)#]*)#?([^)]*)\)', text):
    target = folder / path if path else ROOT / page
    assert target.exists(), path
    if anchor:
      titles = re.findall(r'^#+ (.*)$', target.read_text(), re.M)
      anchors = [re.sub(r'[^\w -]', '', t).lower() for t in titles]
      assert anchor in [a.replace(' ', '-') for a in anchors]
  for path in re.findall(r'`([\w./]+/\w+\.py)`', text):
    assert (ROOT / path).exists() or (PACKAGE / path).exists(), path


def test_messages_are_those_that_are_shown():
  finding = verify.Finding(
    'tfrecords/data_3.tfrecord',
    'checksum of the record data does not match',
    1207,
    140316022,
  )
  assert blocks_of('docs/VERIFYING.md', 'text') == [('text', f'{finding}\n')]
  file = io.BytesIO(b'\n' * 6 + b'rose.jpg 3.0\n')
  with pytest.raises(errors.InputError) as e:
    labels_lib.parse_labels(file, path='labels.txt')
  ((_, message),) = blocks_of('CONTRIBUTING.md', 'text')
  assert f'  {message}' in f'{e.value}\n'


def test_pages_are_short():
  assert len(text_of('README.md').split()) <= 1200
  assert len(text_of('docs/FOLDERS.md').split()) <= 600
  assert len(text_of('CONTRIBUTING.md').splitlines()) <= 300
