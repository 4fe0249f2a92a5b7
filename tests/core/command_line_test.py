"""One clear line for what the user can mend; in `tfds build`, too."""

import errno
import json
import re
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
    ('os.kill(os.getpid(), 15)', '', 143, 'interrupted; finished work stays'),
    (
      'os.kill(os.getpid(), 2)',
      '',
      -signal.SIGINT,
      'interrupted; finished work stays',
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


# `tfds build` with each of the command lines that are read, one process each:
# forked, as its imports take seconds. Ends with their exit codes.
MISTAKES = """
import json, os, sys
from tensorflow_datasets.scripts.cli import main
codes = []
for arguments in json.load(sys.stdin):
  child = os.fork()
  if not child:
    sys.argv = ['tfds', 'build', 'imagenet_val_tfrec', *arguments]
    print('=====', file=sys.stderr, flush=True)
    main.launch_cli()
    os._exit(0)
  codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(codes)
"""
NO_FOLDER = 'There is no such folder.'
JSON_WANTED = "JSON in quotes: --config '{"


def config(**options) -> list[str]:
  return ['--config', json.dumps(options)]


def test_what_people_type_wrong_is_told_in_a_line(tmp_path):
  data_dir = tmp_path / 'data'
  (tmp_path / 'empty').mkdir()
  making.write_folder(tmp_path / 'cats', {'a.jpg': making.picture()})
  built = making.build(
    data_dir,
    image_dir=making.DUMMY / 'val_images',
    label_file=making.DUMMY / 'val.txt',
  )
  images = str(making.DUMMY / 'val_images')
  made = config(
    name='made', image_dir=images, label_file=str(making.DUMMY / 'val.txt')
  )
  table = [
    (['--manual_dir', '/nowhere'], 'images in /nowhere', NO_FOLDER),
    (['--manual_dir', f'{tmp_path}/empty'], 'empty', 'The folder is empty.'),
    (['--manual_dir', f'{tmp_path}/cats'], "Found there: 'a.jpg'", 'image_dir'),
    ([], f'images in {data_dir}/downloads/manual', '--manual_dir='),
    (['--config', '{name: flowers}'], "is '{name: flowers}', no", JSON_WANTED),
    (config(name='f', folder='x'), "unexpected option 'folder'", JSON_WANTED),
    (config(image_dir='x'), "missing 1 required .*: 'name'", JSON_WANTED),
    (config(name='my flowers'), "name is 'my flowers', expected lett", 'error'),
    (config(name='f', image_dir=images, num_images='3'), "is '3', exp", 'erro'),
    (config(name='f', image_dir='/nowhere'), '/nowhere: no such fold', 'error'),
    (['--config', 'nope'], "config is 'nope', expected imagenet2012", 'error'),
    ([*made, '--fail_if_exists'], 'there is a dataset already', '--fail_if_e'),
    ([*made, '--file_format', 'parquet', '--overwrite'], "'parquet', exp", ''),
    ([*made, '--file_format', 'array_record'], "asked for is 'array_r", 'over'),
  ]
  right = ['--manual_dir', str(making.DUMMY)]
  lines = [*(row[0] for row in table), right, [*right, '--overwrite']]
  run = subprocess.run(
    [sys.executable, '-c', MISTAKES],
    input=json.dumps([[*line, '--data_dir', str(data_dir)] for line in lines]),
    check=True,
    capture_output=True,
    text=True,
    cwd=making.ROOT,
  )
  assert run.stdout.splitlines()[-1] == str([1] * len(table) + [0, 0])
  told = run.stderr.split('=====\n')[1:-2]
  for (_, *expected), message in zip(table, told, strict=True):
    assert 'Traceback' not in message
    assert 'error: ' in message
    for words in expected:
      assert re.search(words, message), (words, message)
  assert making.labels_in(built)
