"""Calls in other processes: results, errors, and the ends of either side."""

import functools
import os
import pathlib
import signal
import subprocess
import sys

import making
import psutil
import pytest

from imagenet_val_tfrec.core import errors, processes, workers
from imagenet_val_tfrec.verify import verify


@pytest.fixture
def call():
  """Makes `Processes`; in the end, none of them may be left."""
  made = []

  def make(function) -> processes.Processes:
    made.append(processes.Processes(function))
    return made[-1]

  yield make
  for calls in made:
    calls.close()
  assert not psutil.Process().children()


def test_results_and_errors(call):
  numbers = call(functools.partial(int, base=16))
  assert [numbers('ff'), numbers('10')] == [255, 16]
  with pytest.raises(ValueError, match='no number') as error:
    numbers('no number')
  assert 'Traceback' in str(error.value.__cause__)
  assert numbers('1') == 1  # By the same process.
  sizes = call(os.path.getsize)
  with pytest.raises(FileNotFoundError) as error:
    sizes('/nowhere')
  assert error.value.filename == '/nowhere'


def test_what_is_printed_is_no_answer(call, capfd):
  assert call(print)('something') is None
  assert capfd.readouterr().out == ''


def test_a_process_that_ends(call):
  with pytest.raises(errors.LostWorkerError, match='Run this again'):
    call(os._exit)(3)
  pids = call(os.getpgid)
  assert pids(0) == os.getpgid(0)
  (child,) = psutil.Process().children()
  child.kill()
  child.wait()
  with pytest.raises(errors.LostWorkerError):
    pids(0)


# No `if __name__ == '__main__'`, as in a notebook.
SLEEPS = """
import sys, threading, time
from imagenet_val_tfrec.core import command_line, processes, workers
def work():
  sleep = processes.Processes(time.sleep)
  for _ in workers.in_order(sleep, [0.1] * 1000, 2, threading.Event()):
    print('begun', flush=True)
sys.exit(command_line.exit_code(work))
"""


@pytest.mark.parametrize(
  ('number', 'to_all', 'code'),
  [
    (signal.SIGINT, True, 130),
    (signal.SIGTERM, True, 143),
    (signal.SIGKILL, False, -9),
  ],
)
def test_signals(tmp_path, number, to_all, code):
  (tmp_path / 'script.py').write_text(SLEEPS)
  run = subprocess.Popen(
    [sys.executable, tmp_path / 'script.py'],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    env={**os.environ, 'PYTHONPATH': str(making.ROOT)},
    start_new_session=True,
  )
  assert run.stdout.readline() == b'begun\n'
  children = psutil.Process(run.pid).children()
  assert len(children) == 2
  (os.killpg if to_all else os.kill)(run.pid, number)
  assert run.communicate()[1] == b''
  assert run.returncode == code
  assert psutil.wait_procs(children, timeout=5)[1] == []


@pytest.mark.parametrize(
  ('items', 'size', 'expected'),
  [(8, 10**6, False), (50_000, 6 * 10**9, True), (10**6, 10**9, True)],
)
def test_they_pay_off_where_there_is_much_to_do(items, size, expected):
  assert workers.pays_off(items, size) == (expected and workers.num_cpus() > 1)


def test_verify_finds_the_same(tmp_path, monkeypatch):
  folder = making.build(
    tmp_path,
    image_dir=making.DUMMY / 'val_images',
    label_file=making.DUMMY / 'val.txt',
    options={'num_shards': 3},
  ).data_dir
  shard = sorted(pathlib.Path(folder).glob('*tfrecord*'))[1]
  data = bytearray(shard.read_bytes())
  data[len(data) // 2] ^= 1
  shard.write_bytes(data)
  on_threads = verify(folder)
  assert on_threads.num_faults == 1
  monkeypatch.setattr(workers, 'pays_off', lambda items, size: True)
  made, make = [], processes.Processes
  monkeypatch.setattr(
    processes, 'Processes', lambda work: made.append(work) or make(work)
  )
  assert [verify(folder, workers=number) for number in (1, 2)] == [
    on_threads,
    on_threads,
  ]
  assert len(made) == 1
