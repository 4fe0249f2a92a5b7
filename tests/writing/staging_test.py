"""The building site: alone in it, taken over from the dead, published whole."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

import pytest

from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.writing import staging


def run_in_site(site, target, body, **kwargs):
  """Runs `body` in another process that has the site open."""
  script = (
    'import os, signal, sys\n'
    'from imagenet_val_tfrec.writing import staging\n'
    'with staging.open_work_dir(sys.argv[1], sys.argv[2]) as site:\n'
    + textwrap.indent(textwrap.dedent(body), '  ')
  )
  return subprocess.run(
    [sys.executable, '-c', script, str(site), str(target)],
    check=False,
    capture_output=True,
    text=True,
    **kwargs,
  )


KILL_SELF = 'os.kill(os.getpid(), signal.SIGKILL)'


def put(folder, text):
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'file').write_text(text)


def test_the_second_is_refused_with_the_firsts_name(tmp_path):
  site = tmp_path / 'site'
  with staging.open_work_dir(str(site), str(tmp_path / 'target')):
    second = run_in_site(site, tmp_path / 'target', 'print("in")')
    assert site.is_dir()
  assert second.returncode == 1
  assert f'process {os.getpid()} on ' in second.stderr
  assert 'in' not in second.stdout
  assert not site.exists()


def test_when_the_first_is_dead_the_second_takes_over(tmp_path):
  site = tmp_path / 'site'
  first = run_in_site(
    site,
    tmp_path / 'target',
    f"""
    open(site.shards + '/kept', 'w').close()
    os.mkdir(site.path + '/stale')
    {KILL_SELF}
    """,
  )
  assert first.returncode == -signal.SIGKILL
  assert (site / 'stale').is_dir()
  with staging.open_work_dir(str(site), str(tmp_path / 'target')):
    assert not (site / 'stale').exists()
    assert (site / 'shards' / 'kept').exists()


@pytest.mark.parametrize(
  ('error', 'stays'),
  [
    (ValueError, False),
    (OSError, False),
    (KeyboardInterrupt, True),
    (errors.LostWorkerError, True),
  ],
)
def test_only_an_interrupted_site_stays(tmp_path, error, stays):
  site = tmp_path / 'site'

  def fail():
    with staging.open_work_dir(str(site), str(tmp_path / 'target')):
      raise error

  with pytest.raises(error):
    fail()
  assert site.exists() == stays


@pytest.mark.parametrize('exchanges', [True, False])
@pytest.mark.parametrize('old', [True, False])
def test_publish(tmp_path, monkeypatch, old, exchanges):
  if not exchanges:
    monkeypatch.setattr(storage, 'exchange', lambda *_: False)
  site, target = tmp_path / 'site', tmp_path / 'above' / 'target'
  if old:
    put(target, 'old')
  with staging.open_work_dir(str(site), str(target)) as opened:
    put(site / 'built', 'new')
    opened.publish(str(site / 'built'))
  assert (target / 'file').read_text() == 'new'
  assert not site.exists()


def test_killed_between_two_renames_the_old_one_comes_back(tmp_path):
  site, target = tmp_path / 'site', tmp_path / 'target'
  put(target, 'old')
  killed = run_in_site(
    site,
    target,
    f"""
    from imagenet_val_tfrec.core import storage
    storage.exchange = lambda *_: False
    replace = storage.replace
    def dying(path, to):
      replace(path, to)
      if to == site.old:
        {KILL_SELF}
    storage.replace = dying
    os.mkdir(site.path + '/built')
    site.publish(site.path + '/built')
    """,
  )
  assert killed.returncode == -signal.SIGKILL
  assert not target.exists()
  with staging.open_work_dir(str(site), str(target)):
    assert (target / 'file').read_text() == 'old'


def test_an_owner_file_cut_by_a_kill_does_not_block(tmp_path):
  site = tmp_path / 'site'
  (site / 'shards').mkdir(parents=True)
  (site / 'owner.json').write_text('{"pid": 1')
  with staging.open_work_dir(str(site), str(tmp_path / 'target')):
    owner = json.loads((site / 'owner.json').read_text())
  assert owner['pid'] == os.getpid()


def test_a_site_is_beside_the_configs_folder():
  assert staging.beside('/data/name/config/1.0.0') == (
    str(pathlib.Path('/data/name/incomplete.config.1.0.0'))
  )


def test_a_publish_that_fails_puts_the_old_one_back(tmp_path, monkeypatch):
  monkeypatch.setattr(storage, 'exchange', lambda *_: False)
  site, target = tmp_path / 'site', tmp_path / 'target'
  put(target, 'old')

  def fail():
    with staging.open_work_dir(str(site), str(target)) as opened:
      opened.publish(str(site / 'not built'))

  with pytest.raises(FileNotFoundError):
    fail()
  assert (target / 'file').read_text() == 'old'
  assert not site.exists()


def test_who_waited_at_the_door_gets_a_site_of_its_own(tmp_path, monkeypatch):
  site, target = str(tmp_path / 'site'), str(tmp_path / 'target')
  flock = staging_flock()
  opened = []

  def late(descriptor, operation):
    if not opened:  # The site that was opened is removed, and made anew.
      opened.append(descriptor)
      staging._remove(site)
    flock(descriptor, operation)

  monkeypatch.setattr('fcntl.flock', late)
  with staging.open_work_dir(site, target):
    assert os.listdir(site) != []
    assert run_in_site(site, target, 'pass').returncode == 1
  assert not os.path.exists(site)


def staging_flock():
  import fcntl

  return fcntl.flock
