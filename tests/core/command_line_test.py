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


# `tfds build` with each of the command lines that are read, one process each:
# forked, as its imports take seconds. Some fail when all shards are written.
TFDS_BUILDS = """
import errno, json, os, sys
from tensorflow_datasets.scripts.cli import main
from imagenet_val_tfrec.writing import shards
write_plans = shards.write_plans
def fail_after(fail):
  def write_then_fail(*args, **kwargs):
    summary = write_plans(*args, **kwargs)
    exec(fail)
    return summary
  shards.write_plans = write_then_fail
codes = []
for fail, *arguments in json.load(sys.stdin):
  child = os.fork()
  if not child:
    fail_after(fail)
    sys.argv = ['tfds', 'build', 'imagenet_val_tfrec', *arguments]
    os.dup2(2, 1)
    print('=====', flush=True)
    try:
      main.launch_cli()
    except SystemExit as e:
      code = e.code or 0
    except Exception:
      sys.excepthook(*sys.exc_info())
      code = 1
    sys.stdout.flush()
    os._exit(code)  # To take TensorFlow down takes seconds.
  codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(codes)
"""
NO_FOLDER = 'There is no such folder.'
JSON_WANTED = "JSON in quotes: --config '{"


def config(**options) -> list[str]:
  return ['--config', json.dumps(options)]


def test_tfds_build_tells_in_a_line(tmp_path):
  data_dir = tmp_path / 'data'
  making.write_folder(tmp_path / 'empty', {})
  making.write_folder(tmp_path / 'cats', {'a.jpg': making.picture()})
  bad_labels = making.write_folder(tmp_path / 'bad', {'val.txt': b'x.jpg\n'})
  (bad_labels / 'val_images').symlink_to(making.DUMMY / 'val_images')
  built = making.build(
    data_dir,
    image_dir=making.DUMMY / 'val_images',
    label_file=making.DUMMY / 'val.txt',
  )
  images = str(making.DUMMY / 'val_images')
  made = config(
    name='made', image_dir=images, label_file=str(making.DUMMY / 'val.txt')
  )
  right = ['--manual_dir', str(making.DUMMY)]
  full = 'raise OSError(errno.ENOSPC, "No space left on device", "/data/x")'
  table = [
    (['--manual_dir', '/nowhere'], 'images in /nowhere', NO_FOLDER),
    (['--manual_dir', f'{tmp_path}/empty'], 'empty', 'The folder is empty.'),
    (['--manual_dir', f'{tmp_path}/cats'], "Found there: 'a.jpg'", 'image_dir'),
    (['--manual_dir', f'{tmp_path}/bad'], '1 lines cannot be read:', 'val.txt'),
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
    ([*right, '--num_shards', '9'], '9 shards for 8 images', '--num_shards'),
    ([*right, '--max_examples_per_split', '-3'], '-3 examples are asked', 'er'),
  ]
  lines = [['', *row[0]] for row in table]
  lines += [[full, *right], ['os.kill(os.getpid(), 15)', *right]]
  lines += [['os.kill(os.getpid(), 2)', *right]]
  lines += [['', *right], ['', *right, '--overwrite']]
  run = subprocess.run(
    [sys.executable, '-c', TFDS_BUILDS],
    input=json.dumps([[*line, '--data_dir', str(data_dir)] for line in lines]),
    check=True,
    capture_output=True,
    text=True,
    cwd=making.ROOT,
  )
  codes = [1] * len(table) + [1, 128 + signal.SIGTERM, -signal.SIGINT, 0, 0]
  assert run.stdout.splitlines()[-1] == str(codes)
  table += [
    ([], "error: '/data/x': No space left on device", 'nothing is kept')
  ]
  table += 2 * [([], 'interrupted; finished work stays in', 'to continue')]
  table += [([], 'resuming: ', 'built: 8 images'), ([], 'built: 8 im', '8')]
  told = run.stderr.split('=====\n')[1:]
  for (_, *expected), code, message in zip(table, codes, told, strict=True):
    assert 'Traceback' not in message
    assert ('\nerror: ' in message) == (code == 1)
    for words in expected:
      assert re.search(words, message), (words, message)
  assert len(making.labels_in(built)) == 8
