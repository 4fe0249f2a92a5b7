"""Image sources: what they list, what they read, and what they notice.

Of `entries` and `storage`, too.
"""

import errno
import os
import pickle
import shutil
import time
import warnings

import making
import pytest

from imagenet_val_tfrec.core import storage
from imagenet_val_tfrec.inputs import join, sources
from imagenet_val_tfrec.inputs import labels as labels_lib

FILES = {'a.jpg': b'abc', 'x/b.jpg': b'defg', 'x/y/c.jpg': b''}


@pytest.fixture(params=['folder', 'tar'])
def source(request, tmp_path) -> sources.ImageSource:
  if request.param == 'tar':
    path = making.write_tar(tmp_path / 'images.tar', FILES)
  else:
    path = making.write_folder(tmp_path / 'images', FILES)
  return sources.open_source(str(path))


def read(source: sources.ImageSource) -> dict[str, bytes]:
  with source.open() as reader:
    return {entry.path: reader.read(entry) for entry in source.entries()}


def test_every_file_is_listed_and_read(source):
  assert read(source) == FILES
  assert {e.path: e.size for e in source.entries()} == {
    name: len(content) for name, content in FILES.items()
  }
  assert not any(entry.problem for entry in source.entries())


def test_sources_can_be_sent_elsewhere(source):
  assert read(pickle.loads(pickle.dumps(source))) == FILES


def test_subfolders_come_last(tmp_path):
  making.write_folder(tmp_path, FILES)
  paths = [e.path for e in sources.open_source(str(tmp_path)).entries()]
  assert paths == ['a.jpg', 'x/b.jpg', 'x/y/c.jpg']


@pytest.mark.parametrize(
  ('make', 'error', 'complaint'),
  [
    (lambda p: None, FileNotFoundError, 'no such folder or tar; expected the'),
    (os.mkfifo, sources.SourceError, 'a FIFO, expected a folder or a tar'),
    (
      lambda p: p.symlink_to('/dev/null'),
      sources.SourceError,
      'a device, expected a folder or a tar',
    ),
  ],
)
def test_what_is_no_source(tmp_path, make, error, complaint):
  make(tmp_path / 'images')
  with pytest.raises(error) as e:
    sources.open_source(str(tmp_path / 'images'))
  assert str(e.value) == f'{tmp_path}/images: {complaint}' or (
    complaint in str(e.value)
  )


# --- links ---


def test_links_are_followed_and_those_outside_give_one_warning(tmp_path):
  making.write_folder(tmp_path / 'outside', {'o1': b'1', 'o2': b'22'})
  root = making.write_folder(tmp_path / 'root', {'in': b'333'})
  (root / 'a').symlink_to('in')
  (root / 'b').symlink_to('../outside/o1')
  (root / 'c').symlink_to(tmp_path / 'outside' / 'o2')
  source = sources.open_source(str(root))
  with pytest.warns(UserWarning, match='lead out') as found:
    sizes = {entry.path: entry.size for entry in source.entries()}
  assert sizes == {'in': 3, 'a': 3, 'b': 1, 'c': 2}
  (message,) = [str(w.message) for w in found]
  assert message.startswith(f'{root}: 2 links lead out of the folder and are')


def test_a_folder_is_walked_once(tmp_path):
  making.write_folder(tmp_path / 'x', {'a': b''})
  (tmp_path / 'x' / 'up').symlink_to('..')
  (tmp_path / 'y').symlink_to('x')
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    paths = [e.path for e in sources.open_source(str(tmp_path)).entries()]
  assert paths == ['x/a']


def test_the_warning_comes_before_a_folder_outside_is_walked(tmp_path):
  making.write_folder(tmp_path / 'outside', {'o1': b'1', 'x/o2': b''})
  root = making.write_folder(tmp_path / 'root', {'in': b'333'})
  for name in 'abcde':
    (root / name).symlink_to('../outside')
  entries = sources.open_source(str(root)).entries()
  assert next(entries).path == 'in'
  with pytest.warns(UserWarning, match='lead out') as found:
    assert next(entries).path.endswith('/o1')
  assert [entry.path[1:] for entry in entries] == ['/x/o2']
  (message,) = [str(w.message) for w in found]
  assert message.startswith(f'{root}: 5 links lead out of the folder and are')


def test_a_link_to_all_of_the_disk_is_not_followed(tmp_path):
  root = making.write_folder(tmp_path / 'x' / 'root', {'a': b'', 'b/c': b''})
  (root / 'slash').symlink_to('/')
  (root / 'b' / 'up').symlink_to(tmp_path)
  (root / 'same').symlink_to('.')
  start = time.monotonic()
  found = {e.path: e.problem for e in sources.open_source(str(root)).entries()}
  assert time.monotonic() - start < 5
  assert found == {
    'a': '',
    'b/c': '',
    'slash/': 'a link to a folder that holds this one',
    'b/up/': 'a link to a folder that holds this one',
  }


# --- folders that cannot be walked ---


def forbid(monkeypatch, folder: str) -> None:
  """Lets nobody list that folder, not even root."""
  scandir = os.scandir

  def refuse(path):
    if os.path.basename(os.path.normpath(path)) == folder:
      raise PermissionError(errno.EACCES, 'Permission denied', path)
    return scandir(path)

  monkeypatch.setattr(os, 'scandir', refuse)


def locate(root, name: str) -> join.Examples:
  found = labels_lib.Labels(
    path='l.txt', names=[name], labels=[0], lines=[1], sha256=''
  )
  return join.locate(found, sources.open_source(str(root)))


def test_a_folder_that_may_not_be_read_does_not_end_the_walk(
  tmp_path, monkeypatch
):
  making.write_folder(tmp_path, {**FILES, 'lost+found/d.jpg': b''})
  forbid(monkeypatch, 'lost+found')
  entries = list(sources.open_source(str(tmp_path)).entries())
  assert {e.path: e.problem for e in entries} == {
    **dict.fromkeys(FILES, ''),
    'lost+found/': 'an unreadable folder (Permission denied)',
  }
  with pytest.warns(UserWarning, match='2 images are left out') as found:
    locate(tmp_path, 'a.jpg')
  closed = (
    "Not looked into: 'lost+found/', an unreadable folder (Permission denied)"
  )
  assert str(found[0].message).endswith(f'; {closed}')
  with pytest.raises(join.JoinError) as e:
    locate(tmp_path, 'd.jpg')
  assert str(e.value).endswith(f' {closed}.')
  with pytest.raises(join.JoinError, match='are missing'):
    locate(tmp_path, 'lost+found')


def test_a_folder_that_vanishes_does_not_end_the_walk(tmp_path):
  making.write_folder(tmp_path, FILES | {'z.jpg': b''})
  entries = sources.open_source(str(tmp_path)).entries()
  assert [next(entries).path, next(entries).path] == ['a.jpg', 'z.jpg']
  shutil.rmtree(tmp_path / 'x')
  (entry,) = entries
  assert entry.path == 'x/'
  assert entry.problem == 'an unreadable folder (No such file or directory)'


def test_many_folders_that_may_not_be_read_are_one_short_line(tmp_path):
  for i in range(50):
    (tmp_path / f'{i}{"x" * 200}').mkdir()
    (tmp_path / f'{i}{"x" * 200}' / 'up').symlink_to('/')
  with pytest.raises(join.JoinError) as e:
    locate(tmp_path, 'd.jpg')
  assert len(str(e.value)) < 1000
  assert '; ….' in str(e.value)


def test_the_folder_itself_must_be_readable(tmp_path, monkeypatch):
  making.write_folder(tmp_path / 'root', FILES)
  forbid(monkeypatch, 'root')
  with pytest.raises(PermissionError):
    list(sources.open_source(str(tmp_path / 'root')).entries())


# --- times and devices ---


@pytest.mark.parametrize('seconds', [10**10, -(10**10)])
def test_times_beyond_64_bits_are_cut(tmp_path, seconds, monkeypatch):
  making.write_folder(tmp_path, {'a.jpg': b'abc'})
  stat = os.stat
  os.utime(tmp_path / 'a.jpg', ns=(seconds * 10**9,) * 2)
  if abs(stat(tmp_path / 'a.jpg').st_mtime_ns) < 2**63:
    pytest.skip('this file system knows no such times')
  examples = locate(tmp_path, 'a.jpg')
  assert list(examples.mtimes) == [2**63 - 1 if seconds > 0 else -(2**63)]
  assert read(sources.open_source(str(tmp_path))) == {'a.jpg': b'abc'}


def test_a_device_is_not_opened(tmp_path, monkeypatch):
  os.mkfifo(tmp_path / 'fifo')
  opened = []
  monkeypatch.setattr(os, 'open', lambda *args: opened.append(args))
  for path in ('/dev/null', str(tmp_path / 'fifo'), str(tmp_path)):
    with pytest.raises(OSError, match='expected a file'):
      storage.open_file(path)
  assert opened == []


def test_names_in_errors_of_the_system_are_quoted(tmp_path):
  name = 'a\x1b[2J.jpg'
  making.write_folder(tmp_path, {name: b'abc'})
  source = sources.open_source(str(tmp_path))
  entry = next(iter(source.entries()))
  (tmp_path / name).unlink()
  os.mkfifo(tmp_path / name)
  with source.open() as reader, pytest.raises(sources.SourceError) as e:
    reader.read(entry)
  assert str(e.value).isprintable()


def test_a_disk_that_fails_is_told_with_the_path(tmp_path, monkeypatch):
  tar = making.write_tar(tmp_path / 'x.tar', FILES)

  def fail(*_):
    raise OSError(errno.EIO, 'Input/output error')

  monkeypatch.setattr(os, 'pread', fail)
  with pytest.raises(OSError, match='Input/output error') as e:
    list(sources.open_source(str(tar)).entries())
  assert e.value.filename == str(tar)
  assert e.value.errno == errno.EIO


def test_names_that_are_not_utf_8_do_no_harm(tmp_path):
  with open(os.fsencode(tmp_path) + b'/\xff.jpg', 'wb'):
    pass
  (entry,) = sources.open_source(str(tmp_path)).entries()
  assert repr(entry.path) == r"'\udcff.jpg'"


# --- what changes meanwhile ---


def swap_for_fifo(path):
  path.unlink()
  os.mkfifo(path)


def touch(path):
  os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
  ('change', 'complaint'),
  [
    (lambda path: path.unlink(), 'vanished since the build began'),
    (lambda path: path.write_bytes(b'longer'), 'changed since the build began'),
    (touch, 'changed since the build began; build again'),
    (swap_for_fifo, 'a FIFO, expected a file'),
    (lambda path: (path.unlink(), path.mkdir()), 'a folder, expected a file'),
  ],
)
def test_a_file_that_changes_before_it_is_read(tmp_path, change, complaint):
  making.write_folder(tmp_path, FILES)
  source = sources.open_source(str(tmp_path))
  entry = next(iter(source.entries()))
  change(tmp_path / 'a.jpg')
  with source.open() as reader, pytest.raises(sources.SourceError) as e:
    reader.read(entry)
  assert complaint in str(e.value)


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read every file')
def test_a_file_that_may_not_be_read(tmp_path):
  making.write_folder(tmp_path, FILES)
  source = sources.open_source(str(tmp_path))
  entry = next(iter(source.entries()))
  (tmp_path / 'a.jpg').chmod(0)
  with (
    source.open() as reader,
    pytest.raises(sources.SourceError, match='cannot be read: Permission'),
  ):
    reader.read(entry)


def test_a_file_that_changes_while_it_is_read(tmp_path, monkeypatch):
  making.write_folder(tmp_path, FILES)
  source = sources.open_source(str(tmp_path))
  entry = next(iter(source.entries()))
  pread = os.pread

  def pread_as_another_process_writes(*args):
    touch(tmp_path / 'a.jpg')
    return pread(*args)

  monkeypatch.setattr(os, 'pread', pread_as_another_process_writes)
  with (
    source.open() as reader,
    pytest.raises(sources.SourceError, match='changed while it was read'),
  ):
    reader.read(entry)


def test_too_few_descriptors_are_not_blamed_on_an_image(tmp_path, monkeypatch):
  making.write_folder(tmp_path, FILES)
  source = sources.open_source(str(tmp_path))
  entry = next(iter(source.entries()))

  def refuse(*_):
    raise OSError(24, 'Too many open files')

  with source.open() as reader:
    monkeypatch.setattr(os, 'open', refuse)
    with pytest.raises(OSError, match='Too many open files') as e:
      reader.read(entry)
  assert not isinstance(e.value, sources.SourceError)
