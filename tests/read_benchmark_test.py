"""The read benchmark runs, and measures what it says."""

from __future__ import annotations

import importlib
import itertools
import json
import subprocess
import sys
import threading

import making
import pytest
import tensorflow_datasets as tfds

import imagenet_val_tfrec

BENCHMARKS = making.ROOT / 'benchmarks'
RATES = {'images': 7, 'seconds': 2.0, 'cpu': 0.5}


@pytest.fixture(scope='module')
def modules():
  """`read` and `_readers`, whose place is not on the path."""
  with pytest.MonkeyPatch.context() as patch:
    patch.syspath_prepend(BENCHMARKS)
    yield importlib.import_module('read'), importlib.import_module('_readers')


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  data_dir = tmp_path_factory.mktemp('data')
  builder = imagenet_val_tfrec.Builder(data_dir=data_dir)
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=making.DUMMY)
  )
  return str(data_dir)


@pytest.fixture(scope='module')
def data(modules, data_dir, tmp_path_factory):
  """What each reader gets: seven images, three in a batch."""
  read, readers = modules
  files = tmp_path_factory.mktemp('parent') / 'files'
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(readers._peers, 'WORKERS', 3)
    assert read._write_files(data_dir, 7, files) == 7
  return readers._peers.Data(
    data_dir=data_dir, images=7, batch_size=3, folder=files
  )


def _read(*args: object) -> subprocess.CompletedProcess[str]:
  command = [sys.executable, BENCHMARKS / 'read.py', *map(str, args)]
  return subprocess.run(command, capture_output=True, text=True)


def test_read_prints_and_stores_one_table(data_dir, tmp_path):
  file = tmp_path / 'table.json'
  result = _read(
    *('--data_dir', data_dir, '--images', 7, '--batch_size', 3),
    *('--rounds', 1, '--readers', 'bare decoding', '--json', file),
  )
  assert result.returncode == 0, result.stderr
  table = json.loads(file.read_text())
  assert table['facts']['images'] == 7
  assert table['facts']['pillow']
  rows = {row['reader']: row for row in table['rows']}
  assert list(rows) == ['tfds.load', 'bare decoding']
  naive, limit = rows.values()
  assert naive['x naive'] == limit['x limit'] == 1
  ratio = limit['images/s'] / naive['images/s']
  assert limit['x naive'] == pytest.approx(ratio)
  assert naive['x limit'] == pytest.approx(1 / ratio)
  assert all(row['CPU ms'] > 0 for row in rows.values())
  assert '| bare decoding ' in result.stdout


def test_read_refuses_an_unknown_reader():
  result = _read('--readers', 'slow')
  assert result.returncode == 2
  assert "'slow'" in result.stderr


def test_each_row_reads_all_images(modules, data):
  read, readers = modules
  rows = read._choose(readers.READERS)
  assert set(readers.READERS) - set(rows) <= set(readers._peers.READERS)
  for row in rows:
    sample = readers.MEASURES['one epoch'](readers.READERS[row], data)
    # For training, batches are full.
    assert sample['images'] == (6 if row == 'training' else 7), row
    assert sample['seconds'] > 0


def test_repeated_epochs_are_timed_after_some_to_settle(
  modules, data, monkeypatch
):
  _, readers = modules
  monkeypatch.setattr(readers, '_EPOCHS', 2)
  monkeypatch.setattr(readers, '_SETTLING', 1)
  begun = []

  def two_batches(data, epochs=1):
    return lambda: iter([begun.append(1), 3] * epochs)

  many = readers.MEASURES['50 short epochs'](two_batches, data)
  assert len(begun) == 3
  assert set(many) == {'median s', 'longest s', 'grown MiB'}
  waits = readers.MEASURES['50 epochs in a row'](
    readers.READERS['training'], data
  )
  assert 0 < waits['median wait s'] <= waits['longest wait s']


def test_bare_decoding_fails_where_a_thread_does(modules, data, tmp_path):
  _, readers = modules
  for number in range(9):
    (tmp_path / f'{number}.jpg').write_bytes(b'no image')
  broken = readers._peers.Data(
    data_dir='', images=9, batch_size=1, folder=tmp_path
  )
  with pytest.raises(ValueError, match='JPEG'):
    list(readers.READERS['bare decoding'](broken)())


def test_bare_decoding_ends_where_its_batches_do(modules, data):
  _, readers = modules
  before = threading.active_count()
  batches = readers.READERS['bare decoding'](data)()
  assert list(itertools.islice(batches, 1)) == [3]
  batches.close()
  assert threading.active_count() == before


def test_each_worker_has_a_tar(data):
  assert [path.name for path in sorted(data.folder.glob('*.tar'))] == [
    '0.tar',
    '1.tar',
    '2.tar',
  ]


def test_a_reader_is_compared_with_its_own_base(modules):
  read, _ = modules
  assert read._choose(['exact, antialias']) == [
    'bare decoding',
    'tfds.load, antialias',
    'exact, antialias',
  ]


def test_what_is_not_installed_is_left_out(modules, monkeypatch, capsys):
  read, _ = modules
  monkeypatch.setattr(read.importlib.util, 'find_spec', lambda name: None)
  peers = [*read._peers.READERS]
  assert read._choose(['exact', *peers]) == [
    'tfds.load',
    'exact',
    'bare decoding',
  ]
  assert capsys.readouterr().err == (
    f'not installed: {", ".join(map(repr, peers))}\n'
  )


@pytest.mark.parametrize(
  ('broken', 'rows'),
  [
    ('50 short epochs', ['tfds.load', 'training', 'bare decoding']),
    ('training', ['tfds.load', 'bare decoding']),
    ('tfds.load', ['training', 'bare decoding']),
  ],
)
def test_what_fails_does_not_take_the_table_along(
  modules, data_dir, monkeypatch, capsys, broken, rows
):
  read, _ = modules

  def run(measure, reader, *args):
    if broken in (measure, reader):
      raise read._ReaderError('no memory')
    return {'median s': 0.25} if measure.startswith('50') else RATES

  monkeypatch.setattr(read, '_run', run)
  args = ['--data_dir', data_dir, '--images', '7', '--readers', 'training']
  assert read.main(args) == 1
  out, err = capsys.readouterr()
  found = [line.split('|')[1].strip() for line in out.splitlines()[3:]]
  assert found == rows
  assert ('50 epochs in a row of training, median s 0.250' in out) == (
    broken != 'training'
  )
  assert 'left out: ' in err
  assert 'no memory' in err
