"""One clear line for what the user can mend; in `tfds build`, too."""

import errno
import signal
import subprocess
import sys

import making
import pytest

from imagenet_val_tfrec.core import command_line, errors


@pytest.mark.parametrize(
  ('error', 'said'),
  [
    (errors.InputError('a.txt:3: bad'), 'error: a.txt:3: bad'),
    (OSError(errno.EIO, 'Input/output error'), 'error: Input/output error'),
    (OSError('no number'), 'error: no number'),
    (
      PermissionError(errno.EACCES, 'Permission denied', '\x1b[2Jevil'),
      r"error: '\x1b[2Jevil': Permission denied",
    ),
    (MemoryError(), 'error: too little memory'),
    (MemoryError('b.jpg: 9 GB'), 'error: b.jpg: 9 GB'),
    (
      RuntimeError("can't start new thread"),
      "error: can't start new thread; use fewer workers",
    ),
  ],
)
def test_errors_in_a_line(capsys, error, said):
  def work() -> int:
    raise error

  assert command_line.exit_code(work) == 1
  assert capsys.readouterr().err == f'{said}\n'


@pytest.mark.parametrize('error', [RuntimeError('a bug'), KeyError('a bug')])
def test_bugs_keep_their_traceback(error):
  def work() -> int:
    raise error

  with pytest.raises(type(error)):
    command_line.exit_code(work)


# What `tfds build` is, with what happens when the shards are to be written.
TFDS = """
import errno, os, sys
from absl import app
from tensorflow_datasets.scripts.cli import main
from imagenet_val_tfrec.writing import shards
write_plan = shards.write_plan
def fail(*args, **kwargs):
  write_plan(*args, **kwargs)
  {fail}
shards.write_plan = fail
sys.argv[0] = 'tfds'
main.launch_cli()
"""


@pytest.mark.parametrize(
  ('fail', 'labels', 'code', 'said'),
  [
    ('pass', 'x.jpg\n', 1, 'error: 1 lines cannot be read:'),
    (
      'raise OSError(errno.ENOSPC, "No space left on device", "/data/x")',
      '',
      1,
      "error: '/data/x': No space left on device",
    ),
    ('os.kill(os.getpid(), 15)', '', 143, 'interrupted; what is done stays in'),
    (
      'os.kill(os.getpid(), 2)',
      '',
      -signal.SIGINT,
      'interrupted; what is done stays in',
    ),
  ],
)
def test_tfds_build_fails_in_a_line(tmp_path, fail, labels, code, said):
  (tmp_path / 'val_images').symlink_to(making.DUMMY / 'val_images')
  text = labels or (making.DUMMY / 'val.txt').read_text()
  (tmp_path / 'val.txt').write_text(text)
  run = subprocess.run(
    [
      *(sys.executable, '-c', TFDS.format(fail=fail)),
      *('build', 'imagenet_val_tfrec', '--data_dir', str(tmp_path / 'data')),
      *('--manual_dir', str(tmp_path)),
    ],
    check=False,
    cwd=making.ROOT,
    capture_output=True,
    text=True,
  )
  assert run.returncode == code, run.stderr[-2000:]
  assert 'Traceback' not in run.stderr
  output = (run.stdout + run.stderr).splitlines()
  ours = [line for line in output if said in line]
  assert len(ours) == 1
  assert not list((tmp_path / 'data').rglob('1.0.0'))
