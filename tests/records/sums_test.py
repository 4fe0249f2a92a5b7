"""`SHA256SUMS`: what `write` writes is read by `read`, and by sha256sum."""

import subprocess

import pytest

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.records import sums


def test_coreutils_and_read_agree(tmp_path):
  names = [
    'a.tfrecord',
    'b c',
    'back\\slash',
    'line\nend',
    'ret\rurn',
    'ä\x85\x0b',
  ]
  for i, name in enumerate(names):
    (tmp_path / name).write_bytes(bytes([i]) * (i << 19))
  found = {name: sums.of_file(str(tmp_path / name)) for name in names}
  sums.write(str(tmp_path), found)
  assert sums.read(str(tmp_path)) == found
  check = ['sha256sum', '--strict', '--check', sums.FILENAME]
  subprocess.run(check, cwd=tmp_path, check=True)
  written = (tmp_path / sums.FILENAME).read_bytes()
  told = subprocess.run(
    ['sha256sum', *sorted(names)], cwd=tmp_path, check=True, capture_output=True
  )
  assert written == told.stdout


def test_where_there_is_none(tmp_path):
  assert sums.read(str(tmp_path)) is None


@pytest.mark.parametrize(
  'line', ['', 'abc  x', f'{"0" * 64} x', f'{"0" * 64}  ../x', '\x1b[31m']
)
def test_what_is_no_line(tmp_path, line):
  (tmp_path / sums.FILENAME).write_text(f'{"0" * 64}  a\n{line}\n')
  with pytest.raises(errors.InputError, match='SHA256SUMS: line 2 is '):
    sums.read(str(tmp_path))
