"""A build that was killed goes on where it was, and never half is there."""

import json
import logging
import os
import pathlib
import re
import signal
import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

import imagenet_val_tfrec

ROOT = pathlib.Path(__file__).parents[2]
DUMMY = ROOT / 'dummy_data'
LABELS = [985, 417, 970, 978, 971, 599, 920, 879]

# Builds with 8 shards of one image each in a split, on one thread; dies of the
# given signal when that many shards are written.
KILLED = """
import functools, json, os, sys
import imagenet_val_tfrec, tensorflow_datasets as tfds
from imagenet_val_tfrec.writing import runners, shards
data_dir, manual_dir, mode, kill_at, number, config = sys.argv[1:]
Config = imagenet_val_tfrec.ImagenetValTfrecConfig
runners.run_threads = functools.partial(runners.run_threads, workers=1)
write, written = shards.write_shard, []
def dying(shard, folder, progress):
  if len(written) == int(kill_at):
    os.kill(os.getpid(), int(number))
  write(shard, folder, progress=progress)
  written.append(shard)
shards.write_shard = dying
builder = imagenet_val_tfrec.Builder(
  data_dir=data_dir, config=json.loads(config) and Config(**json.loads(config)))
builder.download_and_prepare(
  download_config=tfds.download.DownloadConfig(
    manual_dir=manual_dir, num_shards=8,
    download_mode=tfds.download.GenerateMode(mode)))
"""
REUSE = tfds.download.GenerateMode.REUSE_DATASET_IF_EXISTS
OVERWRITE = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS


TWO_SPLITS = {
  'name': 'two',
  'image_dir': str(DUMMY / 'val_images'),
  'splits': dict.fromkeys(('train', 'validation'), str(DUMMY / 'val.txt')),
  'num_classes': 1000,
}


def build_and_die(
  data_dir, number, kill_at, mode=REUSE, manual_dir=DUMMY, config=None
):
  return subprocess.run(
    [
      *(sys.executable, '-c', KILLED, str(data_dir), str(manual_dir)),
      *(mode.value, str(kill_at), str(int(number)), json.dumps(config)),
    ],
    check=False,
    capture_output=True,
    text=True,
    cwd=ROOT,
  )


def build(data_dir, mode=REUSE, manual_dir=DUMMY, num_shards=8, config=None):
  if config:
    config = imagenet_val_tfrec.ImagenetValTfrecConfig(**config)
  builder = imagenet_val_tfrec.Builder(data_dir=data_dir, config=config)
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(
      manual_dir=manual_dir, num_shards=num_shards, download_mode=mode
    )
  )
  return builder


def labels_of(builder) -> list[int]:
  dataset = builder.as_dataset(split='validation')
  return [int(example['label']) for example in dataset.as_numpy_iterator()]


def resumed(caplog) -> str:
  found = re.search(r'resuming: .*', caplog.text)
  caplog.clear()
  return found[0] if found else ''


@pytest.fixture(autouse=True)
def _hear_all(caplog):
  caplog.set_level(logging.INFO, logger='absl')


@pytest.mark.filterwarnings("ignore:8 images of split 'validation' are in")
@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize(
  ('kill_at', 'config', 'total'),
  [*((i, None, 8) for i in (0, 1, 5, 7)), (11, TWO_SPLITS, 16)],
)
def test_finished_shards_are_kept(
  tmp_path, caplog, number, kill_at, config, total
):
  died = build_and_die(tmp_path, number, kill_at, config=config)
  assert died.returncode == -number
  assert not list(tmp_path.rglob('1.0.0'))
  before = {
    path.name: path.stat().st_ino
    for path in tmp_path.rglob('*.tfrecord-0000?-of-00008')
  }
  assert len(before) == kill_at
  builder = build(tmp_path, config=config)
  expected = f'resuming: {kill_at} of {total} shards were complete'
  assert resumed(caplog) == (expected if kill_at else '')
  after = {
    path.name: path.stat().st_ino
    for path in pathlib.Path(builder.data_dir).glob('*.tfrecord*')
  }
  assert len(after) == total
  assert before.items() <= after.items()
  assert labels_of(builder) == LABELS
  assert not list(tmp_path.rglob('incomplete*'))


@pytest.mark.parametrize(
  'change',
  ['other shards', 'image touched', 'other labels'],
)
def test_shards_of_another_plan_are_not(tmp_path, caplog, change):
  manual = tmp_path / 'manual'
  manual.mkdir()
  (manual / 'val_images').mkdir()
  for path in (DUMMY / 'val_images').iterdir():
    (manual / 'val_images' / path.name).write_bytes(path.read_bytes())
  (manual / 'val.txt').write_bytes((DUMMY / 'val.txt').read_bytes())
  data = tmp_path / 'data'
  assert build_and_die(data, signal.SIGKILL, 6, manual_dir=manual).returncode
  num_shards, complete = 8, 6
  if change == 'other shards':
    num_shards, complete = 4, 0
  elif change == 'image touched':
    first = (manual / 'val.txt').read_text().split()[0]
    os.utime(manual / 'val_images' / first, (1, 1))
    complete = 5
  else:
    lines = (manual / 'val.txt').read_text().splitlines()
    (manual / 'val.txt').write_text('\n'.join(reversed(lines)))
    complete = 0
  builder = build(data, manual_dir=manual, num_shards=num_shards)
  expected = f'resuming: {complete} of {num_shards} shards were complete'
  assert resumed(caplog) == (expected if complete else '')
  expected_labels = LABELS[::-1] if change == 'other labels' else LABELS
  assert labels_of(builder) == expected_labels


def test_ctrl_c_says_how_to_go_on(tmp_path, caplog):
  died = build_and_die(tmp_path, signal.SIGINT, 5)
  assert died.returncode != 0
  assert 'run the same command to continue' in died.stderr
  assert labels_of(build(tmp_path)) == LABELS
  # The shard that is being written may still come to its end.
  assert re.fullmatch('resuming: [56] of 8 shards .*', resumed(caplog))


@pytest.mark.parametrize('kill_at', [0, 4, 7])
def test_a_killed_overwrite_leaves_the_old_dataset(tmp_path, kill_at):
  manual = tmp_path / 'manual'
  manual.mkdir()
  (manual / 'val_images').symlink_to(DUMMY / 'val_images')
  lines = (DUMMY / 'val.txt').read_text().splitlines()
  (manual / 'val.txt').write_text('\n'.join(reversed(lines)))
  data = tmp_path / 'data'
  build(data)
  died = build_and_die(data, signal.SIGKILL, kill_at, OVERWRITE, manual)
  assert died.returncode == -signal.SIGKILL
  assert labels_of(imagenet_val_tfrec.Builder(data_dir=data)) == LABELS
  assert labels_of(build(data, OVERWRITE, manual)) == LABELS[::-1]


def test_two_builds_at_once_one_is_refused(tmp_path):
  script = (
    'import sys, imagenet_val_tfrec, tensorflow_datasets as tfds\n'
    'from imagenet_val_tfrec.writing import shards\n'
    'write = shards.write_shard\n'
    'def waiting(*args, **kwargs):\n'
    '  print("inside", flush=True)\n'
    '  sys.stdin.readline()\n'
    '  write(*args, **kwargs)\n'
    'shards.write_shard = waiting\n'
    'imagenet_val_tfrec.Builder(data_dir=sys.argv[1]).download_and_prepare(\n'
    '  download_config=tfds.download.DownloadConfig(manual_dir=sys.argv[2]))\n'
  )
  first = subprocess.Popen(
    [sys.executable, '-c', script, str(tmp_path), str(DUMMY)],
    stdin=subprocess.PIPE,
    stdout=subprocess.PIPE,
    text=True,
    cwd=ROOT,
  )
  with first:
    assert first.stdout.readline() == 'inside\n'
    with pytest.raises(ValueError, match=rf'process {first.pid} on '):
      build(tmp_path)
    first.communicate('go on\n')
  assert first.returncode == 0
  assert labels_of(imagenet_val_tfrec.Builder(data_dir=tmp_path)) == LABELS
