"""Faults, as real processes: the old dataset stays, no half one is loaded.

The work is done by `dying.py`, which see.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import making
import pytest

NEW = 'REUSE_DATASET_IF_EXISTS'
OVERWRITE = 'REUSE_CACHE_IF_EXISTS'


def fail(how: str, mode: str, folder: pathlib.Path, data: pathlib.Path) -> int:
  """Lets builds fail in that way; returns how many did."""
  files = making.many(60)
  making.write_folder(folder / 'images', files)
  (folder / 'labels.txt').write_text(making.label_text(files))
  run = subprocess.run(
    [
      *(sys.executable, str(making.ROOT / 'tests' / 'dying.py'), how, mode),
      *(str(data), str(folder / 'images'), str(folder / 'labels.txt')),
    ],
    check=False,
    capture_output=True,
    text=True,
    cwd=making.ROOT,
    env={**os.environ, 'PYTHONPATH': str(making.ROOT)},
    timeout=100,
  )
  assert run.returncode == 0, run.stderr[-5000:]
  number, words = run.stdout.splitlines()[-1].split(maxsplit=1)
  assert words == 'builds failed'
  return int(number)


@pytest.mark.parametrize(
  ('how', 'mode', 'at_least'),
  [
    ('SIGKILL', NEW, 30),
    ('SIGKILL', OVERWRITE, 30),
    ('SIGINT', NEW, 30),
    ('SIGINT', OVERWRITE, 30),
    ('with_few_descriptors', NEW, 1),
    ('with_little_memory', OVERWRITE, 3),
    ('with_small_files', OVERWRITE, 4),
  ],
)
def test_builds_that_fail(tmp_path, how, mode, at_least):
  (tmp_path / 'data').mkdir()
  assert fail(how, mode, tmp_path, tmp_path / 'data') >= at_least


@pytest.fixture
def disk(tmp_path):
  """A disk of 4 MB."""
  folder = tmp_path / 'disk'
  folder.mkdir()
  command = ['mount', '-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', str(folder)]
  try:
    mounted = subprocess.run(command, check=False, capture_output=True)
  except FileNotFoundError:
    pytest.skip('there is no mount command')
  if mounted.returncode:
    pytest.skip(f'no tmpfs can be mounted: {mounted.stderr.decode().strip()}')
  yield folder
  subprocess.run(['umount', str(folder)], check=True)


@pytest.mark.parametrize(
  ('how', 'mode', 'at_least'),
  [
    ('on_a_full_disk', NEW, 5),
    ('on_a_full_disk', OVERWRITE, 5),
    ('converter_on_a_full_disk', OVERWRITE, 5),
    ('on_a_read_only_disk', OVERWRITE, 1),
  ],
)
def test_disks_that_fail(tmp_path, disk, how, mode, at_least):
  assert fail(how, mode, tmp_path, disk) >= at_least


LARGE = """
import pathlib, resource, sys
import making
folder = pathlib.Path(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
  making.build(
    folder / 'data',
    image_dir=folder / 'images',
    label_file=folder / 'labels.txt',
    options={'num_shards': 6},
  )
except ValueError as e:
  print(e)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_of_large_images_one_is_in_memory(tmp_path):
  """The threads have 60 MB each to read, and take little more than one."""
  files = making.write_folder(tmp_path / 'images', making.many(6))
  (tmp_path / 'labels.txt').write_text(making.label_text(making.many(6)))
  for path in files.iterdir():
    path.write_bytes(b'')
    os.truncate(path, 60_000_000)
  run = subprocess.run(
    [sys.executable, '-c', LARGE, str(tmp_path)],
    check=True,
    capture_output=True,
    text=True,
    env={**os.environ, 'PYTHONPATH': f'{making.ROOT}:{making.ROOT}/tests'},
  )
  lines = run.stdout.splitlines()
  assert lines[0].startswith('6 images cannot be used in ')
  assert int(lines[-1]) < 100_000  # Kilobytes.


def as_nobody_special(*command) -> list[str]:
  """Returns the command without root's right to write everywhere."""
  if os.geteuid():
    return list(command)
  if not shutil.which('setpriv'):
    pytest.skip('root may write everywhere, and there is no setpriv')
  less = '-dac_override,-dac_read_search'
  return ['setpriv', f'--bounding-set={less}', f'--inh-caps={less}', *command]


@pytest.mark.parametrize('forbidden', ['data_dir', 'dataset', 'images'])
def test_a_folder_that_is_forbidden(tmp_path, forbidden):
  """Of the dataset: one that is there stays, and can still be used."""
  data_dir = tmp_path / 'data'
  images = making.write_folder(tmp_path / 'images', making.many(3))
  label_file = tmp_path / 'labels.txt'
  label_file.write_text(making.label_text(making.many(3)))
  data_dir.mkdir()
  if forbidden == 'dataset':
    making.build(data_dir, image_dir=images, label_file=label_file)
  paths = [images] if forbidden == 'images' else [data_dir]
  if forbidden == 'dataset':
    paths += [path for path in data_dir.rglob('*') if path.is_dir()]
  before = making.left_behind(data_dir)
  for path in paths:
    path.chmod(0o000 if forbidden == 'images' else 0o555)
  script = (
    'import pathlib, sys, making\n'
    'from imagenet_val_tfrec.core import command_line\n'
    'def work():\n'
    '  data_dir, images, labels = sys.argv[1:]\n'
    '  built = making.build(data_dir, image_dir=images, label_file=labels)\n'
    '  print(built.info.splits["validation"].num_examples)\n'
    '  return 0\n'
    'sys.exit(command_line.exit_code(work))\n'
  )
  places = [str(data_dir), str(images), str(label_file)]
  run = subprocess.run(
    as_nobody_special(sys.executable, '-c', script, *places),
    check=False,
    capture_output=True,
    text=True,
    env={**os.environ, 'PYTHONPATH': f'{making.ROOT}:{making.ROOT}/tests'},
  )
  for path in paths:
    path.chmod(0o755)
  assert making.left_behind(data_dir) == before
  if forbidden == 'dataset':
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == '3'
    return
  assert run.returncode == 1
  assert 'Permission denied' in run.stderr
  assert str(paths[0]) in run.stderr
  assert 'Traceback' not in run.stderr


def test_a_data_dir_that_cannot_be(tmp_path):
  (tmp_path / 'file').write_bytes(b'kept')
  with pytest.raises(OSError, match=f'expected a folder: .{tmp_path}/file'):
    build_below(tmp_path, tmp_path / 'file' / 'data')
  assert (tmp_path / 'file').read_bytes() == b'kept'


def build_below(folder: pathlib.Path, data_dir: pathlib.Path) -> None:
  images = making.write_folder(folder / 'images', making.many(3))
  (folder / 'labels.txt').write_text(making.label_text(making.many(3)))
  making.build(data_dir, image_dir=images, label_file=folder / 'labels.txt')
