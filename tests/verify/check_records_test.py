"""Damaged records are found, all of them, and named by file and number.

In TFRecord files, and by `array_files` in those of array_record.
"""

import dataclasses
import pathlib
import subprocess
import sys
import time

import damaging
import google_crc32c
import making
import pytest
import tensorflow_datasets as tfds
from array_record.python import array_record_module
from damaging import HEADER, SHARD, change, cut, flip, starts, told

import imagenet_val_tfrec
from imagenet_val_tfrec import verify
from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.records import frames
from imagenet_val_tfrec.records import record as record_lib

BAD_LENGTH = (
  'record 1 at byte {a}: checksum of the record length does not match; {size} '
  'bytes are passed over, to the next record or the end of the file'
)
BAD_DATA = 'record 1 at byte {a}: checksum of the record data does not match'
AT = 'record 1 at byte {a}: '

# What is done to the second record of a file, from `a` to `b`.
DAMAGES = {
  'length': (lambda path, a, b: flip(path, a), BAD_LENGTH),
  'high byte of length': (lambda path, a, b: flip(path, a + 7), BAD_LENGTH),
  'checksum of length': (lambda path, a, b: flip(path, a + 8), BAD_LENGTH),
  'data': (lambda path, a, b: flip(path, a + 100), BAD_DATA),
  'checksum of data': (lambda path, a, b: flip(path, b - 1), BAD_DATA),
  'cut by a byte': (
    lambda path, a, b: cut(path, b - 1),
    AT + 'file ends within this record, 1 bytes too early; {cut} bytes are '
    'passed over, to the next record or the end of the file',
  ),
  'cut in a header': (
    lambda path, a, b: cut(path, a + 5),
    AT + 'file ends within a record header of 12 bytes; 5 bytes are passed '
    'over, to the next record or the end of the file',
  ),
  'shape': (
    lambda path, a, b: change(path, 1, height=1, width=2, chans=1),
    AT + 'stored height, width and chans are 1, 2 and 1, but those of the '
    'image are 150, 400 and 3',
  ),
  'negative label': (
    lambda path, a, b: change(path, 1, label=2**64 - 1),
    AT + 'label -1 is out of range, expected 0..{most}',
  ),
  'large label': (
    lambda path, a, b: change(path, 1, label=2**31),
    AT + 'label 2147483648 is out of range, expected 0..{most}',
  ),
  'no JPEG': (
    lambda path, a, b: change(path, 1, image=b'<html>'),
    AT + 'not a JPEG, PNG, WebP or GIF but an HTML or XML page',
  ),
  'no example': (
    lambda path, a, b: path.write_bytes(
      path.read_bytes()[:a] + framed(b'no example')
    ),
    AT + 'not a tf.train.Example',
  ),
}


def framed(payload: bytes) -> bytes:
  crc = frames.footer(google_crc32c.value(payload))
  return frames.frame_header(len(payload)) + payload + crc


@pytest.mark.parametrize('damage', DAMAGES)
@pytest.mark.parametrize(
  ('kind', 'name', 'most'),
  [('raw', 'data_1.tfrecord', 2**31 - 1), ('dataset', SHARD.format(1), 999)],
)
def test_damage(request, damage, kind, name, most):
  folder = request.getfixturevalue(kind)
  _, a, b = starts(folder / name)
  do, expected = DAMAGES[damage]
  do(folder / name, a, b)
  size = {'a': a, 'size': b - a, 'cut': b - a - 1, 'most': most}
  assert told(folder) == [f'{name}: {expected.format(**size)}']


def test_all_that_is_damaged_is_found(raw):
  """Also what stands behind a length that is damaged."""
  change(raw / 'data_2.tfrecord', 1, label=-1 % 2**64)
  path = raw / 'data_0.tfrecord'
  path.write_bytes(path.read_bytes() + (raw / 'data_1.tfrecord').read_bytes())
  (raw / 'data_1.tfrecord').write_bytes(path.read_bytes())
  at = starts(path)
  flip(path, at[1] + 2)
  flip(path, at[2] + HEADER + 50)
  flip(path, at[3] + 9)
  found = verify.verify(raw).findings
  assert [
    (f.path.removeprefix(f'{raw}/'), f.record, f.offset) for f in found[:3]
  ] == [('data_0.tfrecord', number, at[number]) for number in (1, 2, 3)]
  assert [(f.path[-15:], f.record) for f in found[3:]] == [
    ('data_2.tfrecord', 1),
    ('data_2.tfrecord', None),  # Fewer records than the first ones.
  ]


def test_many_zeros_are_passed_over(raw):
  path = raw / 'data_3.tfrecord'
  content = path.read_bytes()
  end = starts(path)[1]
  path.write_bytes(content[:end] + bytes(3_000_000) + content[end:])
  line = BAD_LENGTH.format(a=end, size=3_000_000)
  assert told(raw) == [f'data_3.tfrecord: {line}']


@pytest.mark.parametrize('number', [0, 2])
def test_a_hole_blames_nothing_but_itself(twenty, number):
  path = twenty / 'raw' / f'data_{number}.tfrecord'
  at = starts(path)
  content = bytearray(path.read_bytes())
  content[at[3] : at[6]] = bytes(at[6] - at[3])
  path.write_bytes(content)
  flip(path, at[15] + 20)
  hole = BAD_LENGTH.replace('record 1', 'record 3')
  data = BAD_DATA.replace('record 1', 'record 13 or later')
  assert told(twenty / 'raw', label_file=str(twenty / 'l.txt')) == [
    f'{path.name}: {hole.format(a=at[3], size=at[6] - at[3])}',
    f'{path.name}: {data.format(a=at[15])}',
  ]


def test_a_name_that_is_missing(tmp_path):
  options = {'manual_dir': str(making.DUMMY)}
  builder = making.build(tmp_path, with_names=True, options=options)
  folder = pathlib.Path(builder.data_dir)
  assert not verify.verify(folder).findings
  (shard,) = folder.glob('*.tfrecord*')
  change(shard, 1, file_name=b'')
  found = [str(finding) for finding in verify.verify(folder).findings]
  assert f'{shard}: record 1 at byte {starts(shard)[1]}: no field' in found[0]


def test_jpegs_that_would_take_all_memory(dataset):
  huge = making.jpeg(making.frame(10_001, 10_000), making.scan())
  change(dataset / SHARD.format(0), 0, image=huge, height=10_001, width=10_000)
  damaging.right_size(dataset)
  assert told(dataset) == []
  assert told(dataset, decode=True) == [
    f'{SHARD.format(0)}: record 0 at byte 0: a JPEG of 10001×10000 pixels is '
    'not decoded, as the limit is 100,000,000 (max_pixels raises it)'
  ]
  (finding,) = told(dataset, decode=True, max_pixels=200_000_000)
  assert 'does not decode cleanly' in finding


def test_damage_behind_the_header_is_found_by_decoding(raw):
  image = bytearray(making.picture('plain'))
  image[-600:-300] = bytes(300)
  change(raw / 'data_0.tfrecord', 0, image=bytes(image))
  assert told(raw) == []
  (finding,) = told(raw, decode=True)
  assert finding.startswith(
    'data_0.tfrecord: record 0 at byte 0: a JPEG that does not decode cleanly'
  )


MEMORY = """
import sys
from imagenet_val_tfrec import verify
def peak():  # In kilobytes; not that of the parent, as getrusage would tell.
  with open('/proc/self/status') as file:
    return next(int(s.split()[1]) for s in file if s.startswith('VmHWM'))
before = peak()
report = verify.verify(sys.argv[1], workers=4)
print(report.findings[0])
print(peak() - before)
"""


@pytest.mark.parametrize(
  ('megabytes', 'says'),
  [
    (90, 'checksum of the record data does not match'),
    (600, 'a record of 600,000,000 bytes is not read, as the limit is 100,0'),
  ],
)
def test_large_records_take_little_memory(tmp_path, megabytes, says):
  length = megabytes * 1_000_000
  with (tmp_path / 'data_0.tfrecord').open('wb') as file:
    for _ in range(4):
      file.write(frames.frame_header(length))
      file.seek(length, 1)
      file.write(b'crc.')
  run = subprocess.run(
    [sys.executable, '-c', MEMORY, str(tmp_path)],
    check=True,
    capture_output=True,
    text=True,
    env={'PYTHONPATH': str(making.ROOT)},
  )
  finding, grown = run.stdout.splitlines()
  assert says in finding
  assert int(grown) < 300_000  # Kilobytes.


def test_many_damages_take_little_time_and_are_counted(tmp_path):
  frame = b''.join([frames.frame_header(1), b'xcrc.', b'?'])
  (tmp_path / 'data_0.tfrecord').write_bytes(frame * 6_000)
  start = time.process_time()
  report = verify.verify(tmp_path)
  assert time.process_time() - start < 4
  assert report.num_faults == 12_000
  assert len(report.findings) == 1_001
  assert str(report.findings[-1]).endswith(': … and 11,000 more like these')


# --- a sample ---


@pytest.mark.parametrize(
  ('sample', 'where'),
  [
    ('5%', [0, 20, 40]),
    ('12.5%', [0, 8, 16, 24, 32, 40, 48, 56]),
    ('2.5%', [0, 40]),
    ('0.001%', [0]),
    ('1', [0]),
    ('7', [0, 9, 18, 26, 35, 43, 52]),
    *((sample, list(range(60))) for sample in ('100%', '60', '61', '1000')),
  ],
)
def test_a_sample_is_spread_over_all(twenty, sample, where):
  for number in range(3):
    path = twenty / 'raw' / f'data_{number}.tfrecord'
    content = bytearray(path.read_bytes())
    for at in starts(path)[:-1]:
      content[at + 50] ^= 1
    path.write_bytes(content)
  report = verify.verify(twenty / 'raw', sample=sample)
  assert (report.num_read, report.num_records) == (len(where), 60)
  found = [int(f.path[-10]) * 20 + f.record for f in report.findings]
  assert found == where
  assert len(report.notes) == 1 + (len(where) < 60)
  assert report == verify.verify(twenty / 'raw', sample=sample, workers=5)


def test_all_records_are_counted_in_a_sample(twenty):
  cut(twenty / 'raw' / 'data_1.tfrecord', 700)
  path = twenty / 'raw' / 'data_0.tfrecord'
  cut(path, starts(path)[-2])
  found = told(twenty / 'raw', sample='1')
  assert found[0].startswith('data_1.tfrecord: record 0 at byte 0: file ends')
  assert len(found) == 2


# --- array_record ---


ARRAY = 'imagenet_val_tfrec-validation.array_record-0000{}-of-00002'


@pytest.fixture(scope='module')
def made_arrays(tmp_path_factory):
  builder = imagenet_val_tfrec.Builder(
    data_dir=tmp_path_factory.mktemp('arrays'), file_format='array_record'
  )
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(
      manual_dir=making.DUMMY, num_shards=2
    )
  )
  return builder.data_path


@pytest.fixture
def arrays(made_arrays, tmp_path):
  return damaging.copied(made_arrays, tmp_path / 'arrays')


def rewrite(path, edit) -> None:
  """Writes an array_record file anew, with the records that `edit` returns."""
  reader = array_record_module.ArrayRecordReader(str(path))
  records = [record_lib.parse(payload) for payload in reader.read_all()]
  reader.close()
  writer = array_record_module.ArrayRecordWriter(str(path), 'group_size:1')
  for record in edit(records):
    writer.write(b''.join(record_lib.serialise(record)[1:-1]))
  writer.close()


def second(records, **changes):
  records[1] = dataclasses.replace(records[1], **changes)
  return records


ARRAY_DAMAGES = {
  'flip': (
    lambda path: flip(path, 5_000),
    'record 1: array_record says: Corrupted Riegeli/records file: chunk data '
    'hash mismatch',
  ),
  'cut': (
    lambda path: cut(path, 100_000),
    'the file cannot be read: array_record says: Corrupted',
  ),
  'empty': (lambda path: cut(path, 0), 'the file cannot be read: array_record'),
  'missing': (lambda path: path.unlink(), 'the file is missing'),
  'folder': (
    lambda path: (path.unlink(), path.mkdir()),
    'the file cannot be read: ',
  ),
  'lost record': (
    lambda path: rewrite(path, lambda records: records[:-1]),
    '3 records, expected 4 as TFDS says',
  ),
  'label': (
    lambda path: rewrite(path, lambda records: second(records, label=1000)),
    'record 1: label 1000 is out of range, expected 0..999',
  ),
  'shape': (
    lambda path: rewrite(path, lambda records: second(records, height=1)),
    'record 1: stored height, width and chans are 1, ',
  ),
  'no JPEG': (
    lambda path: rewrite(path, lambda records: second(records, image=b'BM')),
    'record 1: not a JPEG, PNG, WebP or GIF but',
  ),
}


@pytest.mark.parametrize('damage', ARRAY_DAMAGES)
def test_array_record(arrays, damage):
  do, expected = ARRAY_DAMAGES[damage]
  path = arrays / ARRAY.format(1)
  do(path)
  (finding,) = told(arrays)
  assert finding.startswith(f'{path.name}: {expected}')


@pytest.mark.parametrize('options', [{}, {'decode': True}, {'sample': '50%'}])
def test_array_record_in_order(arrays, options):
  report = verify.verify(arrays, label_file=damaging.VAL, **options)
  read = 4 if 'sample' in options else 8
  assert (report.findings, report.num_files) == ([], 2)
  assert (report.num_records, report.num_read) == (8, read)
  rewrite(arrays / ARRAY.format(0), lambda records: records[::-1])
  found = told(arrays, label_file=damaging.VAL, **options)
  assert len(found) == read // 2
  assert 'record 0: label ' in found[0]


def test_array_record_damaged_inside(arrays):
  image = bytearray(making.picture('plain'))
  image[-600:-300] = bytes(300)
  rewrite(
    arrays / ARRAY.format(1),
    lambda r: second(r, image=bytes(image), height=240, width=240),
  )
  (finding,) = told(arrays, decode=True)
  assert 'record 1: a JPEG that does not decode cleanly' in finding


def test_array_record_that_is_not_installed(arrays, monkeypatch):
  monkeypatch.setitem(sys.modules, 'array_record.python', None)
  with pytest.raises(errors.InputError, match='pip install array_record'):
    verify.verify(arrays)
