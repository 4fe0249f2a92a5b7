"""Hostile metadata: each file ends in a line, soon, and in little memory.

By the real command, whose `metadata` and `small_files` are those of loading and
of building, too.
"""

import json
import os
import re
import subprocess
import sys

import making
import pytest
from damaging import (
  SHARD,
  VAL,
  copied,
  edit_json,
  flip,
  swap,
  told,
  write_sums,
)

import imagenet_val_tfrec
from imagenet_val_tfrec import __main__, verify
from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.pipeline import read
from imagenet_val_tfrec.records import metadata

INFO, FEATURES = 'dataset_info.json', 'features.json'
NAMES, METADATA = 'label.labels.txt', 'metadata.json'
MOST_SECONDS, MOST_MEGABYTES = 20, 300
GARBAGE = '\x1b[31m\x07\u202e\n'


def fifo(path):
  path.unlink()
  os.mkfifo(path)


def link_to_device(path):
  path.unlink()
  path.symlink_to('/dev/zero')


def sparse(path):
  with path.open('wb') as file:
    file.truncate(2 << 30)


def text(content: str):
  return lambda path: path.write_text(content)


def info(**changes):
  return lambda path: edit_json(path, lambda info: info.update(changes))


def split(**changes):
  return lambda path: edit_json(
    path, lambda info: info['splits'][0].update(changes)
  )


def feature(**changes):
  return lambda path: edit_json(
    path,
    lambda content: content['featuresDict']['features']['label'].update(
      changes
    ),
  )


def many_shards(number: int):
  lengths = '"1",' * number
  return lambda path: path.write_text(
    path.read_text().replace('"shardLengths": [', f'"shardLengths": [{lengths}')
  )


def many_sums(number: int) -> str:
  return ''.join(f'{i:064x}  data_{i}.tfrecord\n' for i in range(number))


def two_of_a_name(path):
  edit_json(path, lambda info: info['splits'].append(info['splits'][0]))


LATER = 'not as TFDS writes it'
NO_FILE = 'the file cannot be read: '
TEMPLATE = 'filepathTemplate is '

# A file, what is done to it, and what is said of it.
HOSTILE = {
  **{
    f'{kind} for {name}': (name, do, says)
    for name in (INFO, FEATURES, METADATA, NAMES)
    for kind, do, says in (
      ('fifo', fifo, NO_FILE),
      ('device', link_to_device, NO_FILE),
      ('sparse', sparse, '2,147,483,648 bytes, expected at most 4,194,304'),
      ('bytes', lambda path: path.write_bytes(b'\xff\0'), 'it is not text'),
    )
  },
  **{
    f'{kind} for {name}': (name, text(content), says)
    for name in (INFO, FEATURES, METADATA)
    for kind, content, says in (
      ('half', '{"name": "x', 'it is not JSON: '),
      ('deep', '[' * 1_000_000, 'it is not JSON: '),
      ('deeper', '{"a":' * 500_000, 'it is not JSON: '),
      ('list', '[]', 'it is of type list, expected dict'),
      ('infinity', '{"a": Infinity}', 'Infinity is not a number'),
      ('nan', '{"a": NaN}', 'NaN is not a number'),
      ('objects', f'{{"a": [{"{}," * 1_390_000}{{}}]}}', ''),
      ('digits', f'{{"a": {"9" * 100_000}}}', 'it is not JSON: '),
    )
  },
  'unknown key': (INFO, info(what=1), LATER),
  'no name': (INFO, info(name=''), "name is ''"),
  'name of garbage': (INFO, info(name=GARBAGE), 'name is '),
  'name of null': (INFO, info(name=None), "name is ''"),
  'name of list': (INFO, info(name=[]), LATER),
  'long name': (INFO, info(name='a' * 300), 'name is '),
  'long names': (INFO, info(name='a' * 250), 'not the name of a file: '),
  'surrogate': (INFO, info(name='a\ud800'), LATER),
  'format of garbage': (INFO, info(fileFormat=GARBAGE), 'fileFormat is '),
  'no splits': (INFO, info(splits=[]), '0 shards, expected 1 to 99,999'),
  'splits of number': (INFO, info(splits=3), LATER),
  'splits of lists': (INFO, info(splits=[[]]), '0 shards'),
  'split of garbage': (INFO, split(name=GARBAGE), 'name of a split is '),
  'split elsewhere': (INFO, split(name='../../x'), 'name of a split is '),
  'two splits of a name': (INFO, two_of_a_name, 'two splits or shards of one'),
  'no lengths': (INFO, split(shardLengths=[]), '0 shards'),
  'negative length': (INFO, split(shardLengths=['-1']), 'below 0'),
  'huge length': (INFO, split(shardLengths=[str(2**64)]), LATER),
  'length of words': (INFO, split(shardLengths=['many']), LATER),
  'negative size': (INFO, split(numBytes='-1'), 'below 0'),
  'huge size': (INFO, split(numBytes='1' * 5000), LATER),
  'size of 1e400': (INFO, split(numBytes=float('1e308') * 10), 'Infinity'),
  'version': (INFO, info(version='1*0.0'), "version is '1*0.0'"),
  '99,999 shards': (INFO, split(shardLengths=['1'] * 99_999), ''),
  '800,000 shards': (INFO, many_shards(800_000), '800,004 shards, expected'),
  '10,000,000 shards': (INFO, many_shards(10_000_000), 'bytes, expected at'),
  **{
    f'template {template[:20]!r}': (
      INFO,
      split(filepathTemplate=template),
      says,
    )
    for template, says in (
      ('{DATASET:>1000000000}', TEMPLATE),
      ('{0}', TEMPLATE),
      ('{}', TEMPLATE),
      ('{DATASET.__class__}', TEMPLATE),
      ('{SPLIT!r}', TEMPLATE),
      ('a\0{SHARD_X_OF_Y}', TEMPLATE),
      ('../{SHARD_X_OF_Y}', TEMPLATE),
      ('/etc/{SHARD_X_OF_Y}', TEMPLATE),
      (f'{GARBAGE}{{SHARD_X_OF_Y}}', TEMPLATE),
      ('{SHARD_X_OF_Y}' * 50, TEMPLATE),
      ('{DATASET}' * 28, 'not the name of a file: '),
      ('..', 'not the name of a file: '),
      ('.{SHARD_X_OF_Y}', 'not the name of a file: '),
      ('{DATASET}', 'two splits or shards of one name'),
    )
  },
  'no features': (FEATURES, text('{}'), "class '', which is not of TFDS"),
  'classes of words': (FEATURES, feature(classLabel='x'), LATER),
  'negative classes': (
    FEATURES,
    feature(classLabel={'numClasses': '-1'}),
    '-1 classes',
  ),
  'module of a stranger': (
    FEATURES,
    feature(pythonClassName='antigravity.Label'),
    "class 'antigravity.Label', which is not of TFDS",
  ),
  'module by another name': (
    FEATURES,
    lambda path: path.write_text(
      path.read_text()
      .replace('pythonClassName', 'python_class_name')
      .replace('tensorflow_datasets.core', 'antigravity')
    ),
    "class 'antigravity.",
  ),
  'max_pixels of words': (
    METADATA,
    text('{"max_pixels": "x"}'),
    "'max_pixels'",
  ),
  'half the names': (NAMES, text('a\n' * 500), '500 names, expected 1,000'),
  'no names': (NAMES, lambda path: path.unlink(), 'the file is missing'),
  'no info': (INFO, lambda path: path.unlink(), None),
  'no feature file': (FEATURES, lambda path: path.unlink(), 'file is missing'),
}

# Verifies each folder; prints of each the exit code, what was told, the seconds
# and by how many megabytes the process grew.
RUN = """
import contextlib, io, json, sys, time
from imagenet_val_tfrec import __main__

def peak():  # In megabytes; not that of the parent, as getrusage would tell.
  with open('/proc/self/status') as file:
    return next(int(s.split()[1]) for s in file if s.startswith('VmHWM')) / 1e3

before = peak()
for folder in sys.stdin.read().splitlines():
  out = io.StringIO()
  start = time.perf_counter()
  with contextlib.redirect_stdout(out):
    code = __main__.main(['verify', folder])
  seconds = time.perf_counter() - start
  print(json.dumps([code, out.getvalue(), seconds, peak() - before]))
"""


@pytest.fixture(scope='module')
def hostile(originals, tmp_path_factory):
  """Where the folders are, and what `verify` told of each."""
  root = tmp_path_factory.mktemp('hostile')
  for i, (name, do, _) in enumerate(HOSTILE.values()):
    folder = copied(originals / 'tfds', root / str(i))
    do(folder / name)
  run = subprocess.run(
    [sys.executable, '-c', RUN],
    input=''.join(f'{root / str(i)}\n' for i in range(len(HOSTILE))),
    check=True,
    capture_output=True,
    text=True,
    timeout=300,
    cwd=making.ROOT,
  )
  lines = map(json.loads, run.stdout.splitlines())
  return {
    case: (root / str(i), *line)
    for i, (case, line) in enumerate(zip(HOSTILE, lines, strict=True))
  }


@pytest.mark.parametrize('case', HOSTILE)
def test_hostile_metadata(hostile, case):
  name, _, says = HOSTILE[case]
  folder, code, out, seconds, megabytes = hostile[case]
  assert code == (2 if says is None else 0 if 'objects for meta' in case else 1)
  if says:
    first = out.splitlines()[0]
    assert first.startswith(f'{folder / name}: ')
    assert says in first
    assert first.endswith('. Copy or build it again')
    assert len(first) < len(str(folder)) + 400
  assert out.replace('\n', '').isprintable()
  assert seconds < MOST_SECONDS
  assert megabytes < MOST_MEGABYTES


WHAT_TFDS_READS = [case for case, (_, _, says) in HOSTILE.items() if says]
WHAT_TFDS_READS.remove('no names')
WHAT_TFDS_READS.remove('half the names')


@pytest.mark.parametrize('case', WHAT_TFDS_READS)
def test_tfds_is_not_shown_hostile_metadata(hostile, case):
  """By which `read` opens version folders, and the builder what is there."""
  with pytest.raises(errors.FileError, match=re.escape(HOSTILE[case][2])):
    metadata.check(str(hostile[case][0]))


@pytest.mark.parametrize(
  ('do', 'says', 'faults'),
  [
    (fifo, NO_FILE, 1),
    (text(many_sums(101_000)), 'at most 100,100 lines', 1),
    (text(many_sums(100_000)), 'data_0.tfrecord: ', 100_008),
  ],
)
def test_hostile_sums(summed, do, says, faults, capsys):
  do(summed / 'SHA256SUMS')
  assert __main__.main(['verify', str(summed)]) == 1
  out = capsys.readouterr().out
  assert says in out
  assert f': {faults:,} faults' in out


LOADED = (
  *('fifo for label.labels.txt', 'sparse for label.labels.txt'),
  *('fifo for dataset_info.json', 'module of a stranger', 'name of garbage'),
)


@pytest.mark.parametrize('case', LOADED)
def test_hostile_metadata_is_not_loaded(hostile, case):
  with pytest.raises(errors.FileError):
    read.find_files(hostile[case][0], 'validation')
  assert 'antigravity' not in sys.modules


@pytest.mark.parametrize('case', LOADED)
def test_hostile_metadata_where_a_dataset_is_made(hostile, raw, tmp_path, case):
  folder = tmp_path / 'imagenet_val_tfrec' / 'imagenet2012' / '1.0.0'
  folder.parent.mkdir(parents=True)
  subprocess.run(['cp', '-r', hostile[case][0], folder], check=True)
  builder = imagenet_val_tfrec.Builder(data_dir=tmp_path)
  with pytest.raises(errors.InputError, match='no whole dataset in it'):
    builder.download_and_prepare()
  adopt = ['adopt', str(raw), '--data_dir', str(tmp_path)]
  assert __main__.main(adopt) == 1
  assert __main__.main([*adopt, '--overwrite']) == 0
  assert told(folder) == []


@pytest.mark.parametrize('command', ['verify', 'adopt'])
@pytest.mark.parametrize(
  'names', [('{}_0', '{}_1'), ('a{}b_0', 'a{}b_2'), ('a{}', 'b_0'), ('{}',)]
)
def test_names_of_files_do_not_reach_the_terminal(
  tmp_path, capsys, command, names
):
  for name in names:
    path = tmp_path / f'{name.format(GARBAGE[:-1])}.tfrecord'
    path.write_bytes(b'no record')
  options = ['--data_dir', str(tmp_path / 'data')] if command == 'adopt' else []
  assert __main__.main([command, str(tmp_path), *options]) in (1, 2)
  told = ''.join(capsys.readouterr())
  assert repr(GARBAGE[:-1])[1:-1] in told
  assert not {*'\x1b\x07\u202e'} & {*told}


@pytest.mark.parametrize('command', ['verify', 'adopt'])
def test_a_fifo_in_place_of_an_older_file(raw, tmp_path, capsys, command):
  fifo(raw / 'data_1.tfrecord')
  options = ['--data_dir', str(tmp_path / 'data')] if command == 'adopt' else []
  assert __main__.main([command, str(raw), *options]) == 1
  assert 'a FIFO, expected a file' in ''.join(capsys.readouterr())


def test_metadata_of_other_kinds(dataset):
  """They cannot be checked, as they are not damaged; or, by the sums, are."""
  for name, do, says in (
    (FEATURES, label_alone, "a dataset of other features: 'label'; expected"),
    (INFO, info(fileFormat='parquet'), "a dataset of format 'parquet'"),
  ):
    before = (dataset / name).read_bytes()
    do(dataset / name)
    with pytest.raises(errors.InputError, match=says):
      verify.verify(dataset)
    write_sums(dataset)
    with pytest.raises(errors.InputError, match=says):
      verify.verify(dataset)
    (dataset / name).write_bytes(before)
    write_sums(dataset)
    do(dataset / name)
    assert any(says in line for line in told(dataset))
    (dataset / name).write_bytes(before)
    (dataset / 'SHA256SUMS').unlink()


def label_alone(path):
  def edit(content):
    features = content['featuresDict']['features']
    content['featuresDict']['features'] = {'label': features['label']}

  edit_json(path, edit)


def test_several_splits(dataset):
  edit_json(
    dataset / INFO,
    lambda info: info['splits'].append({**info['splits'][0], 'name': 'test'}),
  )
  with pytest.raises(errors.InputError, match='several splits'):
    verify.verify(dataset, label_file=VAL)
  assert told(dataset) == [
    f'{SHARD.format(i).replace("validation", "test")}: the file is missing'
    for i in range(4)
  ]


def test_records_are_read_though_metadata_is_damaged(dataset):
  (dataset / INFO).write_text('{')
  flip(dataset / SHARD.format(2), -1)
  swap(dataset / SHARD.format(0), dataset / SHARD.format(1))
  found = told(dataset, label_file=VAL)
  assert [line.partition(':')[0] for line in found] == [
    *(INFO, SHARD.format(2)),
    *(SHARD.format(0), SHARD.format(0), SHARD.format(1), SHARD.format(1)),
  ]
