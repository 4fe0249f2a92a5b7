"""The read benchmark runs, and measures what it says."""

from __future__ import annotations

import json
import subprocess
import sys

import making
import pytest
import tensorflow_datasets as tfds

import imagenet_val_tfrec

READ = making.ROOT / 'benchmarks' / 'read.py'


def _read(*args: object) -> subprocess.CompletedProcess[str]:
  command = [sys.executable, READ, *map(str, args)]
  return subprocess.run(command, capture_output=True, text=True)


def test_read_prints_and_stores_one_table(tmp_path):
  builder = imagenet_val_tfrec.Builder(data_dir=tmp_path)
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir=making.DUMMY)
  )
  file = tmp_path / 'table.json'
  result = _read(
    *('--data_dir', tmp_path, '--images', 7, '--batch_size', 3),
    *('--rounds', 1, '--readers', 'fast', '--json', file),
  )
  assert result.returncode == 0, result.stderr
  table = json.loads(file.read_text())
  assert table['facts']['images'] == 7
  assert table['facts']['50 x fast, median s'] > 0
  rows = {row['reader']: row for row in table['rows']}
  assert list(rows) == ['tfds.load', 'fast', 'bare decoding']
  naive, fast, limit = rows.values()
  assert naive['x naive'] == limit['x limit'] == 1
  assert fast['x naive'] == pytest.approx(fast['images/s'] / naive['images/s'])
  assert fast['x limit'] == pytest.approx(fast['images/s'] / limit['images/s'])
  assert all(row['CPU ms'] > 0 for row in rows.values())
  assert '| fast ' in result.stdout


def test_read_refuses_an_unknown_reader():
  result = _read('--readers', 'slow')
  assert result.returncode == 2
  assert "'slow'" in result.stderr
