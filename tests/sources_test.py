"""Image sources: what they list, what they read, and what they notice."""

import os
import pickle
import warnings

import making
import pytest

from imagenet_val_tfrec import sources, tar_index

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


def test_a_compressed_tar(tmp_path):
  (tmp_path / 'x.tar.gz').write_bytes(b'\x1f\x8b\x08')
  source = sources.open_source(str(tmp_path / 'x.tar.gz'))
  with pytest.raises(tar_index.TarError, match=r'gzip -dc .*x\.tar\.gz > NEW'):
    list(source.entries())


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


def test_a_tar_that_changes_while_it_is_read(tmp_path):
  path = making.write_tar(tmp_path / 'x.tar', FILES)
  source = sources.open_source(str(path))
  entries = list(source.entries())

  def read_and_touch():
    with source.open() as reader:
      assert reader.read(entries[0]) == b'abc'
      touch(path)

  with pytest.raises(sources.SourceError, match='changed while it was read'):
    read_and_touch()
  with (
    source.open() as reader,
    pytest.raises(sources.SourceError, match='changed since the build began'),
  ):
    reader.read(entries[0])


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
