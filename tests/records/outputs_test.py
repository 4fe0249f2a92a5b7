"""Every byte reaches the file by each way to the disk; a full one says so."""

import errno
import hashlib
import os
import random
import subprocess

import pytest

from imagenet_val_tfrec.core import storage
from imagenet_val_tfrec.records import outputs

MIB = 1 << 20


@pytest.fixture(params=['1', '0'], ids=['cached', 'direct'])
def _way(monkeypatch, request):
  monkeypatch.setenv(storage.NO_SYNC, request.param)


def write(path, records) -> str:
  with outputs.open_output(str(path), 'tfrecord') as out:
    for parts in records:
      out.write(parts)
  return out.sha256()


@pytest.mark.usefixtures('_way')
@pytest.mark.parametrize(
  'sizes',
  [
    [],
    [0, 1],
    [4096],
    [MIB - 1, 1, 1],
    [MIB],
    [MIB + 1, 7],
    [3 * MIB - 5, 5],
    [100_001] * 50,
  ],
)
def test_files_hold_what_was_written(tmp_path, sizes):
  chance = random.Random(0)
  records = [[b'head', chance.randbytes(size), b'tail'] for size in sizes]
  expected = b''.join(part for parts in records for part in parts)
  digest = write(tmp_path / 'file', records)
  assert (tmp_path / 'file').read_bytes() == expected
  assert digest == hashlib.sha256(expected).hexdigest()


@pytest.mark.usefixtures('_way')
def test_disks_that_want_other_blocks(tmp_path, monkeypatch):
  """As one would that wants more than a buffer at a time."""
  monkeypatch.setattr(outputs, '_BUFFER', 1000)
  write(tmp_path / 'file', [[b'x' * 2500]])
  assert (tmp_path / 'file').read_bytes() == b'x' * 2500


@pytest.mark.usefixtures('_way')
def test_a_full_disk(tmp_path):
  (tmp_path / 'disk').mkdir()
  (tmp_path / 'image').touch()
  os.truncate(tmp_path / 'image', 4 * MIB)
  for line in ('mkfs.ext4 -q image', 'mount -o loop image disk'):
    try:
      command = line.split()
      subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    except (FileNotFoundError, subprocess.CalledProcessError) as e:
      pytest.skip(f'{line}: {e}')
  try:
    with pytest.raises(OSError, match='No space left') as error:
      write(tmp_path / 'disk' / 'file', [[b'x' * 700_001]] * 9)
    assert error.value.errno == errno.ENOSPC
  finally:
    subprocess.run(['umount', tmp_path / 'disk'], check=True)
