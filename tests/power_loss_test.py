"""The machine stops at any moment: nothing is lost. See `losing.py`.

So `storage` syncs, and `publishing` comes to its end or is undone.

Also the one way not to wait for the disk, which is for scratch data.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import losing
import making
import pytest

from imagenet_val_tfrec.core import storage

# In memory, if that can be had: nothing that is made here is to stay.
_MEMORY = '/dev/shm' if os.path.isdir('/dev/shm') else None


@pytest.fixture
def folder():
  with tempfile.TemporaryDirectory(dir=_MEMORY) as name:
    yield pathlib.Path(name)


def lose(*arguments) -> int:
  """Runs `losing.py`; returns how many states it has looked at."""
  environment = {**os.environ, 'PYTHONPATH': str(making.ROOT)}
  environment.pop(storage.NO_SYNC)
  run = subprocess.run(
    [sys.executable, making.ROOT / 'tests' / 'losing.py', *arguments],
    check=False,
    capture_output=True,
    text=True,
    env=environment,
    timeout=100,
  )
  assert run.returncode == 0, run.stderr[-3000:]
  return int(run.stdout.split()[-2])


@pytest.mark.parametrize('command', losing.COMMANDS)
def test_what_a_power_loss_leaves(folder, command):
  assert lose(command, folder) > 50


@pytest.mark.parametrize('command', ['overwrite', 'convert', 'adopt'])
def test_what_it_leaves_on_ext4(folder, command):
  (folder / 'disk').mkdir()
  (folder / 'image').touch()
  os.truncate(folder / 'image', 16 << 20)
  for line in ('mkfs.ext4 -q image', 'mount -o loop image disk'):
    try:
      run = subprocess.run(
        line.split(), check=False, capture_output=True, cwd=folder
      )
    except FileNotFoundError as e:
      pytest.skip(f'there is no {e.filename}')
    if run.returncode:
      pytest.skip(f'{line}: {run.stderr.decode().strip()}')
  try:
    assert lose(command, folder, folder / 'disk') > 10
  finally:
    subprocess.run(['umount', folder / 'disk'], check=True)


CONVERT = """
import os, sys
from imagenet_val_tfrec import images_to_tfrec
fsync, synced = os.fsync, []
os.fsync = lambda descriptor: (synced.append(descriptor), fsync(descriptor))
images_to_tfrec.main(sys.argv[1:])
print(len(synced))
"""


@pytest.mark.parametrize(('value', 'syncs'), [(None, True), ('1', False)])
def test_syncing_can_be_left_out(tmp_path, value, syncs):
  environment = {**os.environ, 'PYTHONPATH': str(making.ROOT)}
  environment.pop(storage.NO_SYNC)
  if value is not None:
    environment['IMAGENET_VAL_TFREC_NO_SYNC'] = value
  run = subprocess.run(
    [
      *(sys.executable, '-c', CONVERT, '-tfdir', tmp_path / 'out'),
      *('-dir', making.DUMMY / 'val_images', '-l', making.DUMMY / 'val.txt'),
    ],
    check=True,
    capture_output=True,
    text=True,
    env=environment,
  )
  assert (run.stdout.split()[-1] != '0') == syncs
