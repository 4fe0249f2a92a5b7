"""The build benchmark runs, and measures what it says."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import tarfile

import pytest

_BENCHMARKS = pathlib.Path(__file__).parents[1] / 'benchmarks'


@pytest.fixture(autouse=True)
def _path(monkeypatch):
  monkeypatch.syspath_prepend(_BENCHMARKS)


def _build(*args: object) -> subprocess.CompletedProcess[str]:
  command = [sys.executable, _BENCHMARKS / 'build.py', *map(str, args)]
  return subprocess.run(command, capture_output=True, text=True)


def test_build_prints_and_stores_one_table(tmp_path):
  out = tmp_path / 'out'
  out.mkdir()
  file = tmp_path / 'table.json'
  options = ['--images', 20, '--tiny', '--rounds', 1, '--out', out]
  result = _build(*options, '--json', file, '--rows', 'this builder, folder')
  assert result.returncode == 0, result.stderr
  table = json.loads(file.read_text())
  assert table['facts']['images'] == 20
  rows = {row['row']: row for row in table['rows']}
  assert list(rows) == ['imports', 'cat', 'this builder, folder']
  printed = [
    [cell.strip() for cell in line.split('|')[1:-1]]
    for line in result.stdout.splitlines()
    if line.startswith('| ')
  ]
  assert printed[0] == list(rows['cat'])
  assert [line[0] for line in printed[1:]] == list(rows)
  assert rows['imports']['written'] == 0
  assert rows['imports']['+ MiB'] == 0
  # Twenty pictures of one kB, each in a header and padding of a tar.
  assert rows['cat']['written'] % 10_240 == 0
  assert rows['cat']['x cat'] == 1
  built = rows['this builder, folder']
  assert built['images'] == 20
  assert built['written'] > table['facts']['image bytes']
  assert 0 < built['seconds'] < built['process s']
  assert built['us/image'] == pytest.approx(built['seconds'] / 20 * 1e6)
  assert list(out.iterdir()) == []


def test_build_refuses_an_unknown_row():
  result = _build('--rows', 'another builder')
  assert result.returncode == 2
  assert "'another builder'" in result.stderr


def test_run_takes_what_the_command_prints(tmp_path):
  import _measure

  command = 'printf 12345 > {out}/a; echo images: 3; echo seconds: 0.25'
  sample = _measure.run(command, {'out': tmp_path / 'out'})
  assert (sample.seconds, sample.images, sample.written) == (0.25, 3, 5)


def test_run_times_what_prints_nothing(tmp_path):
  import _measure

  sample = _measure.run('sleep 0.2', {'out': tmp_path / 'out'})
  assert 0.2 <= sample.seconds == sample.process < 5
  assert (sample.images, sample.written) == (None, 0)


def test_run_starts_from_an_empty_folder_and_counts_no_hard_links(tmp_path):
  import _measure

  source = tmp_path / 'source'
  source.write_bytes(b'123')
  out = tmp_path / 'out'
  out.mkdir()
  (out / 'old').write_bytes(b'12345')
  sample = _measure.run('ln {source} {out}/new', {'out': out, 'source': source})
  assert [path.name for path in out.iterdir()] == ['new']
  assert sample.written == 0


def test_run_sees_the_largest_descendants_memory(tmp_path):
  # A process inherits its parent's peak, and that of the tests is large.
  script = (
    'import pathlib, sys\n'
    'sys.path.insert(0, sys.argv[1])\n'
    'import _measure\n'
    'print(_measure.run(sys.argv[2], {"out": pathlib.Path(sys.argv[3])}).peak)'
  )
  command = '{python} -c "bytearray(b\'1\') * (300 << 20)"; {python} -c 0'
  result = subprocess.run(
    [sys.executable, '-c', script, _BENCHMARKS, command, tmp_path / 'out'],
    check=True,
    capture_output=True,
    text=True,
  )
  assert 300 << 20 < int(result.stdout) < 500 << 20


def test_run_tells_why_a_command_failed(tmp_path):
  import _measure

  with pytest.raises(_measure.RunError, match=r'exit code 3\nno such'):
    _measure.run('echo no such; exit 3', {'out': tmp_path / 'out'})


def test_made_data_has_the_true_labels_as_far_as_they_go(tmp_path):
  import _data

  _data.make(tmp_path, 50_002, tiny=True)
  lines = (tmp_path / 'val.txt').read_text().splitlines()
  assert lines[0] == 'ILSVRC2012_val_00000001.JPEG 65'
  assert lines[49_999] == 'ILSVRC2012_val_00050000.JPEG 355'
  assert lines[50_000:] == [
    'ILSVRC2012_val_00050001.JPEG 0',
    'ILSVRC2012_val_00050002.JPEG 0',
  ]
  with tarfile.open(tmp_path / 'ILSVRC2012_img_val.tar') as tar:
    names = [member.name for member in tar]
  assert names == [line.split()[0] for line in lines]


@pytest.mark.parametrize(
  ('tiny', 'least', 'most'), [(False, 100_000, 125_000), (True, 800, 1_300)]
)
def test_made_pictures_have_the_promised_size(tmp_path, tiny, least, most):
  import _data

  _data.make(tmp_path, 30, tiny=tiny)
  with tarfile.open(tmp_path / 'ILSVRC2012_img_val.tar') as tar:
    sizes = [member.size for member in tar]
  assert least < sum(sizes) / len(sizes) < most


def test_report_prints_and_stores(tmp_path, capsys):
  import _table

  rows = [
    {'row': 'a', 'seconds': 1234.5, 'images': None},
    {'row': 'longer', 'seconds': 0.25, 'images': 50_000},
  ]
  _table.report({'images': 2, 'python': '3.11.7'}, rows, tmp_path / 'table')
  assert capsys.readouterr().out.splitlines() == [
    'images 2, python 3.11.7',
    '| row    | seconds | images |',
    '|--------|--------:|-------:|',
    '| a      |   1,234 |      – |',
    '| longer |   0.250 | 50,000 |',
  ]
  assert json.loads((tmp_path / 'table').read_text()) == {
    'facts': {'images': 2, 'python': '3.11.7'},
    'rows': rows,
  }
