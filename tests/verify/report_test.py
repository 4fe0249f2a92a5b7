"""The report and the tool, `__main__`; what `check_sums` shows."""

import json
import os
import random
import shutil
import subprocess
import sys

import damaging
import making
import pytest
from damaging import SHARD, VAL, change, cut, flip, swap, told, write_sums

from imagenet_val_tfrec import __main__, verify
from imagenet_val_tfrec.records import sums
from imagenet_val_tfrec.verify import check_records

NO_SUMS = 'no SHA256SUMS: changes that keep all checksums cannot be seen'
VERSION = 'imagenet_val_tfrec/imagenet2012/1.0.0'
SMALL = (
  *('dataset_info.json', 'features.json', 'metadata.json'),
  *('label.labels.txt', 'SHA256SUMS'),
)


@pytest.mark.parametrize('kind', ['raw', 'tfds'])
@pytest.mark.parametrize('decode', [False, True])
@pytest.mark.parametrize('label_file', [None, VAL])
@pytest.mark.parametrize('workers', [0, 1, 5])
def test_nothing_is_wrong(originals, kind, decode, label_file, workers):
  folder = originals / kind
  report = verify.verify(
    folder, decode=decode, label_file=label_file, workers=workers
  )
  assert report == verify.Report(
    findings=[],
    num_files=4,
    num_records=8,
    num_read=8,
    num_bytes=sum(
      path.stat().st_size for path in folder.iterdir() if 'tfrec' in path.name
    ),
    notes=[NO_SUMS],
  )


def test_what_a_build_writes_is_in_order(tmp_path):
  builder = making.build(
    tmp_path,
    image_dir=making.DUMMY / 'val_images',
    label_file=VAL,
    num_images=5,
  )
  report = verify.verify(builder.data_dir, decode=True, label_file=VAL)
  assert (report.findings, report.notes) == ([], [])


@pytest.mark.parametrize(
  ('finding', 'words'),
  [
    (('a/b_0.tfrecord', 'bad', 3, 45), 'a/b_0.tfrecord: record 3 at byte 45: '),
    (('b', 'bad', 3, 45, True), 'b: record 3 or later at byte 45: '),
    (('b.array_record', 'bad', 3), 'b.array_record: record 3: '),
    (('data', 'bad'), 'data: '),
    (('\x1b[2J\n', 'bad'), r"'\x1b[2J\n': "),
  ],
)
def test_findings_are_words(finding, words):
  assert str(check_records.Finding(*finding)) == f'{words}bad'


# --- SHA256SUMS ---


def reverse_lines(path):
  path.write_text(''.join(reversed(path.open().readlines())))


def another_record(folder):
  """Puts a record of the same shape, label and size in place of one."""
  image = making.picture('plain')
  assert image.count(b'JFIF') == 1
  change(folder / SHARD.format(0), 0, image=image.replace(b'JFIF', b'JFIG'))


CHANGED = 'SHA-256 is '
ONE, TWO = SHARD.format(1), SHARD.format(2)

# What is done, of which checksums and metadata tell nothing, and what is found.
SEEN_BY_SUMS = {
  'class names reversed': (
    lambda f: reverse_lines(f / 'label.labels.txt'),
    {'label.labels.txt': CHANGED},
  ),
  'shards swapped': (
    lambda f: swap(f / ONE, f / TWO),
    {ONE: CHANGED, TWO: CHANGED},
  ),
  'another record': (another_record, {SHARD.format(0): CHANGED}),
  'metadata of another': (
    lambda f: (f / 'metadata.json').write_text('{}'),
    {'metadata.json': CHANGED},
  ),
  'metadata lost': (
    lambda f: (f / 'metadata.json').unlink(),
    {'metadata.json': 'the file is missing'},
  ),
  'info lost': (
    lambda f: (f / 'dataset_info.json').unlink(),
    {'dataset_info.json': 'the file is missing'},
  ),
  'a file that is not named': (
    lambda f: (f / 'label.labels.txt').rename(f / 'metadata.json'),
    {
      'label.labels.txt': 'the file',
      'metadata.json': 'damaged, it is not JSON',
    },
  ),
  'one line less': (
    lambda f: (f / 'SHA256SUMS').write_text(
      ''.join((f / 'SHA256SUMS').open().readlines()[1:])
    ),
    {'dataset_info.json': 'not named in SHA256SUMS'},
  ),
  'no lines': (
    lambda f: cut(f / 'SHA256SUMS', 0),
    dict.fromkeys(
      [*sorted([*SMALL[:2], *map(SHARD.format, range(4)), *SMALL[2:4]])],
      'not named in SHA256SUMS',
    ),
  ),
  'a line that is none': (
    lambda f: flip(f / 'SHA256SUMS', 64),
    {'SHA256SUMS': 'line 1 is '},
  ),
  'a name that is none': (
    lambda f: (f / 'SHA256SUMS').write_text(f'{"0" * 64}  a\0b\n'),
    {'SHA256SUMS': 'line 1 is '},
  ),
  'a FIFO for the sums': (
    lambda f: (os.unlink(f / 'SHA256SUMS'), os.mkfifo(f / 'SHA256SUMS')),
    {'SHA256SUMS': 'the file cannot be read: '},
  ),
  'large sums': (
    lambda f: os.truncate(f / 'SHA256SUMS', 2 << 30),
    {'SHA256SUMS': '2,147,483,648 bytes, expected at most 16,777,216'},
  ),
}


@pytest.mark.parametrize('case', SEEN_BY_SUMS)
def test_what_sums_show(summed, case):
  do, expected = SEEN_BY_SUMS[case]
  assert told(summed) == []
  do(summed)
  found = told(summed)
  assert [line.partition(': ')[0] for line in found] == list(expected)
  for line, says in zip(found, expected.values(), strict=True):
    assert line.partition(': ')[2].startswith(says)


def test_a_record_is_told_once(summed):
  flip(summed / ONE, 100)
  (finding,) = told(summed)
  assert 'checksum of the record data' in finding


def test_older_files_have_sums_too(originals, raw):
  for folder in (originals / 'made', originals / 'data' / VERSION):
    report = verify.verify(folder)
    assert (report.findings, report.notes) == ([], [])
  write_sums(raw)
  (raw / 'data_3.tfrecord').unlink()
  assert told(raw) == ['data_3.tfrecord: the file is missing']


def test_sums_only(summed, capsys):
  size = sum(p.stat().st_size for p in summed.iterdir() if p.name != SMALL[-1])
  report = verify.verify(summed, sums_only=True)
  assert (report.findings, report.num_files) == ([], 8)
  assert (report.num_bytes, report.num_records) == (size, 0)
  flip(summed / ONE, 100)
  (summed / TWO).unlink()
  shutil.copy(summed / ONE, summed / SHARD.format(7))
  (summed / 'README').write_text('Not of the dataset.')
  assert __main__.main(['verify', str(summed), '--sums-only']) == 1
  lines = capsys.readouterr().out.removeprefix(f'{summed}/').splitlines()
  assert [line.split(': ')[1][:20] for line in lines] == [
    *(
      'SHA-256 is ' + sums.of_file(str(summed / ONE))[:9],
      'the file is missing',
    ),
    *('not named in SHA256S', '7 files, 0.1 MB'),
  ]


@pytest.mark.parametrize('place', ['small files', 'shards'])
def test_flips(summed, capsys, place):
  """Each of 200 flips, anywhere, is found, and said by the exit code."""
  rng = random.Random(place)
  names = SMALL if place == 'small files' else [*map(SHARD.format, range(4))]
  main = ['verify', str(summed)]
  assert __main__.main(main) == 0
  for _ in range(200):
    path = summed / rng.choice(names)
    position, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
    flip(path, position, bit)
    assert __main__.main(main) == 1, (path.name, position, bit)
    flip(path, position, bit)
  assert __main__.main(main) == 0


# --- the tool ---


def test_the_tool_in_one_line(originals, summed, capsys):
  for folder, options, middle, end in (
    (originals / 'raw', ['--decode'], '4 files, 8 records', f'; {NO_SUMS}'),
    (summed, [], '4 files, 8 records', ''),
    (
      *(summed, ['--sample=25%'], '4 files, 8 records'),
      '; a sample: 2 of 8 records were read',
    ),
  ):
    paths = [p for p in folder.iterdir() if '.tfrecord' in p.name]
    size = sum(path.stat().st_size for path in paths) / 1e6
    assert __main__.main(['verify', str(folder), *options]) == 0
    assert capsys.readouterr().out == (
      f'{folder}: {middle}, {size:.1f} MB: no faults{end}\n'
    )


def test_the_tool_names_what_is_wrong(raw, capsys):
  flip(raw / 'data_1.tfrecord', -1)
  (raw / 'data_2.tfrecord').unlink()
  assert __main__.main(['verify', str(raw), '--label_file', VAL]) == 1
  lines = capsys.readouterr().out.splitlines()
  assert [line.split(':')[0].removeprefix(f'{raw}/') for line in lines] == [
    *('data_1.tfrecord', 'data_2.tfrecord', str(raw))
  ]
  assert '3 files, 6 records, ' in lines[-1]
  assert lines[-1].endswith(f' MB: 2 faults; {NO_SUMS}')


def test_the_tool_in_json(raw, capsys):
  flip(raw / 'data_1.tfrecord', -1)
  (raw / 'data_2.tfrecord').unlink()
  assert __main__.main(['verify', str(raw), '--json']) == 1
  (path,) = [raw / 'data_1.tfrecord']
  assert json.loads(capsys.readouterr().out) == {
    'verdict': 'damaged',
    'findings': [
      {
        'file': str(path),
        'record': 1,
        'byte': damaging.starts(path)[1],
        'what': 'checksum of the record data does not match',
      },
      {
        'file': str(raw / 'data_2.tfrecord'),
        'record': None,
        'byte': None,
        'what': 'the file is missing',
      },
    ],
    'faults': 2,
    'files': 3,
    'records': 6,
    'records_read': 6,
    'bytes': sum(path.stat().st_size for path in raw.iterdir()),
    'notes': [NO_SUMS],
  }
  assert __main__.main(['verify', 'nowhere', '--json']) == 2
  told = capsys.readouterr()
  verdict = json.loads(told.out)
  assert verdict['verdict'] == 'cannot be checked'
  assert told.err == f'error: {verdict["error"]}\n'


@pytest.mark.parametrize('damage', [False, True])
def test_the_tool_from_the_shell(summed, damage):
  if damage:
    # As files come out of a transfer in text mode.
    image = making.picture('plain').replace(b'\n', b'\r\n')
    change(summed / SHARD.format(0), 0, image=image)
    flip(summed / ONE, -1)
  run = subprocess.run(
    [
      *(sys.executable, '-m', 'imagenet_val_tfrec'),
      *('verify', str(summed), '--decode'),
    ],
    check=False,
    cwd=making.ROOT,
    capture_output=True,
    text=True,
  )
  assert run.returncode == damage
  assert 'Verifying' in run.stderr
  for says in (
    f'{SHARD.format(0)}: record 0 at byte 0: a JPEG that does not decode '
    'cleanly: Corrupt JPEG data: 4 extraneous bytes before marker 0xdb',
    f'{ONE}: record 1 at byte',
  ):
    assert (says in run.stdout) == damage


CANNOT = [
  (['verify', 'nowhere'], 2, "error: no folder 'nowhere'"),
  (['verify', '.'], 2, 'dataset_info.json'),
  (['verify', '{raw}/data_0.tfrecord'], 2, 'no folder '),
  (['verify', '{raw}', '--workers', '-1'], 2, 'workers is -1'),
  (['verify', '{raw}', '--label_file', 'none'], 2, 'none'),
  (
    ['verify', '{raw}', '--label_file', '{raw}'],
    2,
    'a folder, expected a file',
  ),
  (['verify', '{raw}', '--sums-only'], 2, 'SHA256SUMS: there is no such file'),
  (
    ['verify', 'nowhere', '--sums-only'],
    2,
    'SHA256SUMS: there is no such file',
  ),
  (['verify', '{raw}', '--sums-only', '--decode'], 2, 'looks at no record'),
  *(
    (['verify', '{raw}', '--sample', part], 2, f'sample is {part!r}, expected')
    for part in (
      '',
      '0',
      '0%',
      '101%',
      'x',
      '1/2',
      '1e9999999',
      '٣',
      '%',
    )
  ),
  (['verify'], 2, 'path'),
  (['verify', '.', '--what'], 2, '--what'),
  (['adopt', 'nowhere', '--data_dir', 'data'], 1, "no folder 'nowhere'"),
  (['adopt', 'nowhere'], 2, '--data_dir'),
  (['adopt', '.', '--data_dir', '.', '--config', '{{'], 1, '--config'),
  (['adopt', '.', '--data_dir', '.', '--config', '{{"x": 1}}'], 1, '--config'),
  ([], 2, 'COMMAND'),
]


@pytest.mark.parametrize(('arguments', 'code', 'message'), CANNOT)
def test_what_the_tool_cannot_do(
  raw, tmp_path, monkeypatch, capsys, arguments, code, message
):
  monkeypatch.chdir(tmp_path)
  arguments = [argument.format(raw=raw) for argument in arguments]
  try:
    returned = __main__.main(arguments)
  except SystemExit as e:
    returned = e.code
  assert returned == code
  assert message in capsys.readouterr().err


def test_the_tool_adopts(originals, tmp_path, capsys):
  arguments = ['adopt', str(originals / 'raw'), '--data_dir', str(tmp_path)]
  assert __main__.main(arguments) == 0
  version = tmp_path / 'imagenet_val_tfrec' / 'imagenet2012' / '1.0.0'
  assert capsys.readouterr().out == (
    f"{version} is ready: tfds.load('imagenet_val_tfrec/imagenet2012', "
    f"split='validation', data_dir='{tmp_path}')\n"
  )
  assert __main__.main(['verify', str(version)]) == 0
  assert __main__.main(arguments) == 1
  assert 'there is a dataset already' in capsys.readouterr().err
  flowers = '{"name": "flowers", "num_classes": 986}'
  assert __main__.main([*arguments, '--config', flowers]) == 0
  assert (tmp_path / 'imagenet_val_tfrec' / 'flowers').is_dir()


@pytest.mark.parametrize(
  'arguments', ['["--help"]', '["verify", sys.argv[1]]', '["adopt", "--help"]']
)
def test_the_tool_needs_no_tensorflow(originals, arguments):
  script = (
    'import sys\n'
    'from imagenet_val_tfrec import __main__\n'
    'try:\n'
    f'  assert __main__.main({arguments}) == 0\n'
    'except SystemExit as e:\n'
    '  assert not e.code\n'
    'heavy = {"tensorflow", "apache_beam", "simplejpeg"} & set(sys.modules)\n'
    'assert not heavy, heavy\n'
  )
  subprocess.run(
    [sys.executable, '-c', script, str(originals / 'raw')],
    check=True,
    cwd=making.ROOT,
  )
