"""Whatever is damaged is found, all of it, and named by file and record."""

import dataclasses
import io
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable

import making
import pytest
from PIL import Image

from imagenet_val_tfrec import __main__, images_to_tfrec, legacy, verify
from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.records import frames
from imagenet_val_tfrec.records import record as record_lib
from imagenet_val_tfrec.verify import check_records

DUMMY = making.ROOT / 'dummy_data'
VAL = str(DUMMY / 'val.txt')
NAMES = [line.split()[0] for line in (DUMMY / 'val.txt').open()]
SHARD = 'imagenet_val_tfrec-validation.tfrecord-{:05}-of-00004'
HEADER = 12


@pytest.fixture(scope='module')
def originals(tmp_path_factory) -> pathlib.Path:
  """`raw` and `tfds`: folders of four files with two records each."""
  folder = tmp_path_factory.mktemp('originals')
  images_to_tfrec.make_tfrec(
    image_dir=str(DUMMY / 'val_images'),
    label_file=VAL,
    tfrec_dir=str(folder / 'raw'),
    img_shard=2,
  )
  version = legacy.adopt(folder / 'raw', folder / 'data')
  shutil.copytree(version, folder / 'tfds')
  return folder


@pytest.fixture
def raw(originals, tmp_path) -> pathlib.Path:
  return shutil.copytree(originals / 'raw', tmp_path / 'raw')


@pytest.fixture
def dataset(originals, tmp_path) -> pathlib.Path:
  return shutil.copytree(originals / 'tfds', tmp_path / 'tfds')


def starts(path) -> list[int]:
  """Returns where the records of a file start, and where it ends."""
  content = path.read_bytes()
  found = [0]
  while found[-1] < len(content):
    (length,) = struct.unpack_from('<Q', content, found[-1])
    found.append(found[-1] + HEADER + length + 4)
  return found


def flip(path, position) -> None:
  content = bytearray(path.read_bytes())
  content[position] ^= 1
  path.write_bytes(content)


def cut(path, size) -> None:
  path.write_bytes(path.read_bytes()[:size])


def change(path, number, **changes) -> None:
  """Gives a record other fields, and checksums that are right."""
  content = path.read_bytes()
  start, end = starts(path)[number : number + 2]
  record = record_lib.parse(content[start + HEADER : end - 4])
  changed = record_lib.serialise(dataclasses.replace(record, **changes))
  path.write_bytes(content[:start] + b''.join(changed) + content[end:])


def swap(path, other) -> None:
  one, two = path.read_bytes(), other.read_bytes()
  path.write_bytes(two)
  other.write_bytes(one)


def edit_json(path, edit: Callable[[dict], None]) -> None:
  content = json.loads(path.read_text())
  edit(content)
  path.write_text(json.dumps(content))


def told(folder, **options) -> list[str]:
  """Returns what is found, without the folder's path."""
  report = verify.verify(folder, **options)
  return [str(f).removeprefix(f'{folder}/') for f in report.findings]


@pytest.mark.parametrize('kind', ['raw', 'tfds'])
@pytest.mark.parametrize('decode', [False, True])
@pytest.mark.parametrize('label_file', [None, VAL])
@pytest.mark.parametrize('workers', [0, 1, 5])
def test_nothing_is_wrong(originals, kind, decode, label_file, workers):
  folder = originals / kind
  report = verify.verify(
    folder, decode=decode, label_file=label_file, workers=workers
  )
  assert report == report.Report(
    findings=[],
    num_files=4,
    num_records=8,
    num_bytes=sum(
      path.stat().st_size for path in folder.iterdir() if 'tfrec' in path.name
    ),
    num_others=0,
  )


def test_what_a_build_writes_is_in_order(tmp_path):
  builder = making.build(
    tmp_path, image_dir=DUMMY / 'val_images', label_file=VAL, num_images=5
  )
  assert told(builder.data_dir, decode=True, label_file=VAL) == []


DAMAGES = {
  # In the second record of data_1.tfrecord; `a` and `b` are where it starts
  # and where it ends.
  'length': (
    lambda path, a, b: flip(path, a),
    'record 1 at byte {a}: checksum of the record length does not match; '
    '{size} bytes are passed over, to the next record or the end of the file',
  ),
  'high byte of length': (
    lambda path, a, b: flip(path, a + 7),
    'record 1 at byte {a}: checksum of the record length does not match; '
    '{size} bytes are passed over, to the next record or the end of the file',
  ),
  'checksum of length': (
    lambda path, a, b: flip(path, a + 8),
    'record 1 at byte {a}: checksum of the record length does not match; '
    '{size} bytes are passed over, to the next record or the end of the file',
  ),
  'data': (
    lambda path, a, b: flip(path, a + 100),
    'record 1 at byte {a}: checksum of the record data does not match',
  ),
  'checksum of data': (
    lambda path, a, b: flip(path, b - 1),
    'record 1 at byte {a}: checksum of the record data does not match',
  ),
  'cut by a byte': (
    lambda path, a, b: cut(path, b - 1),
    'record 1 at byte {a}: file ends within this record, 1 bytes too early; '
    '{cut} bytes are passed over, to the next record or the end of the file',
  ),
  'cut in a header': (
    lambda path, a, b: cut(path, a + 5),
    'record 1 at byte {a}: file ends within a record header of 12 bytes; 5 '
    'bytes are passed over, to the next record or the end of the file',
  ),
  'shape': (
    lambda path, a, b: change(path, 1, height=1, width=2, chans=1),
    'record 1 at byte {a}: stored height, width and chans are 1, 2 and 1, but '
    'those of the image are 150, 400 and 3',
  ),
  'negative label': (
    lambda path, a, b: change(path, 1, label=2**64 - 1),
    'record 1 at byte {a}: label -1 is out of range, expected 0..{most}',
  ),
}


@pytest.mark.parametrize('damage', DAMAGES)
def test_damage_in_old_files(raw, damage):
  path = raw / 'data_1.tfrecord'
  _, start, end = starts(path)
  do, expected = DAMAGES[damage]
  do(path, start, end)
  expected = expected.format(
    a=start, size=end - start, cut=end - start - 1, most=2**31 - 1
  )
  assert told(raw) == [f'data_1.tfrecord: {expected}']


@pytest.mark.parametrize('damage', DAMAGES)
def test_damage_in_a_dataset(dataset, damage):
  path = dataset / SHARD.format(1)
  _, start, end = starts(path)
  do, expected = DAMAGES[damage]
  do(path, start, end)
  expected = expected.format(
    a=start, size=end - start, cut=end - start - 1, most=999
  )
  (finding,) = told(dataset)
  assert finding.startswith(f'{path.name}: {expected}')


def test_all_that_is_damaged_is_found(raw):
  """Also what stands behind a length that is damaged."""
  change(raw / 'data_2.tfrecord', 1, label=-1 % 2**64)
  path = raw / 'data_0.tfrecord'
  path.write_bytes(path.read_bytes() + (raw / 'data_1.tfrecord').read_bytes())
  (raw / 'data_1.tfrecord').write_bytes(path.read_bytes())
  positions = starts(path)
  flip(path, positions[1] + 2)
  flip(path, positions[2] + HEADER + 50)
  flip(path, positions[3] + 9)
  found = verify.verify(raw).findings
  places = [(f.path.removeprefix(f'{raw}/'), f.record) for f in found]
  assert places == [
    ('data_0.tfrecord', 1),
    ('data_0.tfrecord', 2),
    ('data_0.tfrecord', 3),
    ('data_2.tfrecord', 1),
    ('data_2.tfrecord', None),  # Fewer records than the first ones.
  ]
  assert [f.offset for f in found[:3]] == positions[1:4]


def test_many_zeros_are_passed_over(raw):
  path = raw / 'data_3.tfrecord'
  content = path.read_bytes()
  end = starts(path)[1]
  path.write_bytes(content[:end] + bytes(3_000_000) + content[end:])
  assert told(raw) == [
    f'data_3.tfrecord: record 1 at byte {end}: checksum of the record length '
    'does not match; 3000000 bytes are passed over, to the next record or the '
    'end of the file'
  ]


@pytest.fixture
def twenty(tmp_path) -> pathlib.Path:
  """Three older files of twenty records."""
  files = making.many(60)
  making.write_folder(tmp_path / 'images', files)
  (tmp_path / 'l.txt').write_text(making.label_text(files, 60))
  images_to_tfrec.make_tfrec(
    image_dir=str(tmp_path / 'images'),
    label_file=str(tmp_path / 'l.txt'),
    tfrec_dir=str(tmp_path / 'raw'),
    img_shard=20,
  )
  return tmp_path


@pytest.mark.parametrize('number', [0, 2])
def test_a_hole_blames_nothing_but_itself(twenty, number):
  raw = twenty / 'raw'
  path = raw / f'data_{number}.tfrecord'
  at = starts(path)
  content = bytearray(path.read_bytes())
  content[at[3] : at[6]] = bytes(at[6] - at[3])
  path.write_bytes(content)
  flip(path, at[15] + 20)
  assert told(raw, label_file=str(twenty / 'l.txt')) == [
    f'{path.name}: record 3 at byte {at[3]}: checksum of the record length '
    f'does not match; {at[6] - at[3]} bytes are passed over, to the next '
    'record or the end of the file',
    f'{path.name}: record 13 or later at byte {at[15]}: checksum of the record '
    'data does not match',
  ]


def test_many_wrong_labels_are_all_named(twenty):
  for number in range(0, 18, 2):
    change(twenty / 'raw' / 'data_1.tfrecord', number, label=59)
  found = told(twenty / 'raw', label_file=str(twenty / 'l.txt'))
  assert [line.split(' at byte')[0] for line in found] == [
    f'data_1.tfrecord: record {number}' for number in range(0, 18, 2)
  ]


@pytest.mark.parametrize('cut_one', [0, 1])
def test_of_three_files_the_cut_one_is_named(twenty, cut_one):
  path = twenty / 'raw' / f'data_{cut_one}.tfrecord'
  cut(path, starts(path)[19])
  assert told(twenty / 'raw') == [
    f'{path.name}: 19 records, expected 20 as in the other files'
  ]


def test_class_names_and_metadata(dataset):
  names = dataset / 'label.labels.txt'
  text = names.read_text()
  names.write_text(text[: len(text) // 2])
  (dataset / 'metadata.json').write_text('{"adopted')
  assert told(dataset) == [
    f"{dataset}: 'label.labels.txt' has 500 names, expected 1,000",
    f"{dataset}: 'metadata.json' is damaged, it is not JSON",
  ]
  names.unlink()
  assert told(dataset)[0] == (
    f"{dataset}: 'label.labels.txt' is missing, the names of the classes"
  )


def test_files_that_are_missing(raw, dataset):
  (raw / 'data_1.tfrecord').unlink()
  assert told(raw) == ['data_1.tfrecord: the file is missing']
  (dataset / SHARD.format(3)).unlink()
  assert told(dataset) == [f'{SHARD.format(3)}: the file is missing']


def test_the_last_old_file_is_missed_by_the_label_file(raw):
  (raw / 'data_3.tfrecord').unlink()
  assert told(raw) == []
  assert told(raw, label_file=VAL) == [
    f'{raw}: 6 records, expected 8 as in {VAL}'
  ]


def test_files_that_are_none(raw):
  (raw / 'data_1.tfrecord').unlink()
  (raw / 'data_1.tfrecord').mkdir()
  cut(raw / 'data_3.tfrecord', 0)
  assert told(raw) == [
    f"data_1.tfrecord: the file cannot be read: '{raw}/data_1.tfrecord': a "
    'folder, expected a file',
    'data_3.tfrecord: an empty file, expected records',
  ]


def test_one_old_file_alone(raw):
  for number in range(3):
    (raw / f'data_{number}.tfrecord').unlink()
  assert told(raw, label_file=VAL) == [
    'data_0.tfrecord: the file is missing',
    'data_1.tfrecord: the file is missing',
    'data_2.tfrecord: the file is missing',
  ]


def test_files_that_should_not_be_there(raw, dataset):
  shutil.copy(dataset / SHARD.format(0), dataset / f'{SHARD.format(9)}')
  assert told(dataset) == [
    f'{dataset}: {SHARD.format(9)!r} is not a file of this dataset'
  ]
  shutil.copy(raw / 'data_0.tfrecord', raw / 'other_0.tfrecord')
  with pytest.raises(errors.InputError, match='files of 2 data sets'):
    verify.verify(raw)


def test_files_that_end_between_records(raw, dataset):
  for folder, name, source in (
    (raw, 'data_1.tfrecord', 'in the other files'),
    (dataset, SHARD.format(1), 'TFDS says'),
  ):
    cut(folder / name, starts(folder / name)[1])
    assert told(folder) == [f'{name}: 1 records, expected 2 as {source}']


def test_another_image_of_the_same_shape(dataset):
  path = dataset / SHARD.format(1)
  before = sum(p.stat().st_size for p in dataset.glob('*.tfrecord*'))
  content = path.read_bytes()
  image = record_lib.parse(content[HEADER : starts(path)[1] - 4]).image
  change(path, 0, image=image + b'\0')
  assert told(dataset) == [
    f'{dataset}: files of {before + 1:,} bytes, expected {before:,} as TFDS '
    'says'
  ]


@pytest.mark.parametrize('kind', ['raw', 'tfds'])
def test_swapped_files_are_found_by_their_labels(request, kind):
  if kind == 'raw':
    folder, name = request.getfixturevalue('raw'), 'data_{}.tfrecord'
  else:
    folder, name = request.getfixturevalue('dataset'), SHARD
  one, two = name.format(1), name.format(2)
  swap(folder / one, folder / two)
  assert told(folder) == []
  second = starts(folder / one)[1], starts(folder / two)[1]
  assert told(folder, label_file=VAL) == [
    f'{path}: record {number} at byte {offset}: label {label}, expected {true} '
    f'as in {VAL}:{line} ({NAMES[line - 1]!r})'
    for path, number, offset, label, true, line in (
      (one, 0, 0, 971, 970, 3),
      (one, 1, second[0], 599, 978, 4),
      (two, 0, 0, 970, 971, 5),
      (two, 1, second[1], 978, 599, 6),
    )
  ]


def test_a_file_with_many_wrong_labels_is_told_once(tmp_path):
  names = making.many(24)
  making.write_folder(tmp_path / 'images', names)
  for file, num_classes in (('one.txt', 7), ('other.txt', 5)):
    (tmp_path / file).write_text(making.label_text(names, num_classes))
  images_to_tfrec.make_tfrec(
    image_dir=str(tmp_path / 'images'),
    label_file=str(tmp_path / 'one.txt'),
    tfrec_dir=str(tmp_path / 'raw'),
    img_shard=20,
  )
  found = told(tmp_path / 'raw', label_file=str(tmp_path / 'other.txt'))
  one, last = found[:10], found[10]
  assert one[0].startswith('data_0.tfrecord: record 5 at byte ')
  assert last == (
    f'data_0.tfrecord: 15 of 20 labels are not those of {tmp_path}/other.txt; '
    'is this file swapped with another one?'
  )
  assert [line.split(':')[0] for line in found[11:]] == ['data_1.tfrecord'] * 4


def test_labels_below_the_number_of_classes(raw, dataset):
  change(raw / 'data_0.tfrecord', 0, label=1000)
  assert told(raw) == []  # Nothing says how many classes there are.
  change(dataset / SHARD.format(0), 0, label=1000)
  assert told(dataset)[0] == (
    f'{SHARD.format(0)}: record 0 at byte 0: label 1000 is out of range, '
    'expected 0..999'
  )


def test_records_of_other_fields(raw):
  path = raw / 'data_0.tfrecord'
  start = starts(path)[1]
  payload = b'no example'
  frame = frames.frame_header(len(payload)) + payload
  crc = struct.pack('<I', frames.masked_crc(payload))
  path.write_bytes(path.read_bytes()[:start] + frame + crc)
  (finding,) = told(raw)
  assert finding.startswith(
    f'data_0.tfrecord: record 1 at byte {start}: not a tf.train.Example: '
  )


def picture(kind: str, *, height: int = 8, width: int = 9) -> bytes:
  out = io.BytesIO()
  Image.new('RGB', (width, height)).save(out, kind)
  return out.getvalue()


@pytest.mark.parametrize('kind', ['PNG', 'GIF', 'BMP'])
def test_images_that_are_no_jpegs(raw, dataset, kind):
  """`legacy.parser` decodes them, so they are checked likewise."""
  path = raw / 'data_0.tfrecord'
  image = picture(kind)
  change(path, 1, image=image, height=8, width=9)
  report = verify.verify(raw, decode=True)
  assert not report.findings
  assert report.num_others == 1
  change(path, 1, width=8)
  at = f'data_0.tfrecord: record 1 at byte {starts(path)[1]}: '
  assert told(raw) == [
    f'{at}stored height and width are 8 and 8, but those of the image are 8 '
    'and 9'
  ]
  change(path, 1, width=9, image=image[:40])
  assert told(raw) == []
  assert told(raw, decode=True) in (
    [f'{at}an image that TensorFlow does not decode'],
    [f'{at}an image that is cut'],
  )
  change(path, 1, image=image[:9])
  assert told(raw) == [f'{at}an image whose header is cut']
  change(dataset / SHARD.format(0), 1, image=image)
  at = f'{SHARD.format(0)}: record 1 at byte {starts(path)[1]}: '
  assert told(dataset)[0] == f'{at}not a JPEG but a {kind} image'


def test_other_images_that_would_take_all_memory(raw):
  image = bytearray(picture('PNG'))
  image[16:24] = struct.pack('>II', 30_000, 30_000)
  sizes = {'height': 30_000, 'width': 30_000}
  change(raw / 'data_0.tfrecord', 0, image=bytes(image), **sizes)
  assert told(raw, decode=True) == [
    'data_0.tfrecord: record 0 at byte 0: an image of 900,000,000 pixels or '
    'more is not decoded, as the limit is 100,000,000 (--max_pixels raises it)'
  ]


def test_jpegs_that_would_take_all_memory(dataset):
  huge = making.jpeg(making.frame(10_001, 10_000), making.scan())
  path = dataset / SHARD.format(0)
  change(path, 0, image=huge, height=10_001, width=10_000)
  edit_json(dataset / 'dataset_info.json', right_size(dataset))
  assert told(dataset) == []
  assert told(dataset, decode=True) == [
    f'{SHARD.format(0)}: record 0 at byte 0: a JPEG of 10001×10000 pixels is '
    'not decoded, as the limit is 100,000,000 (--max_pixels raises it)'
  ]
  (finding,) = told(dataset, decode=True, max_pixels=200_000_000)
  assert 'does not decode cleanly' in finding


def right_size(dataset) -> Callable[[dict], None]:
  size = sum(path.stat().st_size for path in dataset.glob('*.tfrecord-*'))

  def edit(info: dict) -> None:
    info['splits'][0]['numBytes'] = str(size)

  return edit


def test_a_gif_is_as_large_as_its_first_frame(raw):
  frames = [Image.new('RGB', size) for size in ((9, 8), (4, 4))]
  out = io.BytesIO()
  frames[0].save(out, 'GIF', save_all=True, append_images=frames[1:])
  image = bytearray(out.getvalue())
  image[6:10] = struct.pack('<HH', 30, 20)  # A larger screen than any frame.
  path = raw / 'data_0.tfrecord'
  change(path, 1, image=bytes(image), height=8, width=9)
  assert told(raw, decode=True) == []
  with path.open('rb') as file:
    file.seek(starts(path)[1] + HEADER)
    _, label = legacy.parser(file.read()[:-4])
  assert label == 417


MEMORY = """
import resource, sys
from imagenet_val_tfrec import verify
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report = verify.verify(sys.argv[1], workers=4)
print(report.findings[0])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
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


def test_many_damages_take_little_time(tmp_path):
  frame = b''.join([frames.frame_header(0), b'crc.', b'?'])
  (tmp_path / 'data_0.tfrecord').write_bytes(frame * 30_000)
  start = time.process_time()
  assert len(told(tmp_path)) == 60_000
  assert time.process_time() - start < 10


def test_images_of_no_known_kind(raw):
  change(raw / 'data_0.tfrecord', 0, image=b'<html>')
  assert told(raw) == [
    'data_0.tfrecord: record 0 at byte 0: not a JPEG but an HTML or XML page'
  ]


def test_damage_behind_the_header_is_found_by_decoding(raw):
  image = bytearray(making.picture('plain'))
  image[-600:-300] = bytes(300)
  change(raw / 'data_0.tfrecord', 0, image=bytes(image))
  assert told(raw) == []
  (finding,) = told(raw, decode=True)
  assert finding.startswith(
    'data_0.tfrecord: record 0 at byte 0: a JPEG that does not decode cleanly'
  )


def test_stock_tfds_counts_bytes_otherwise(dataset):
  """It counts the payloads alone, and that is right, too."""
  framed = sum(path.stat().st_size for path in dataset.glob('*.tfrecord*'))
  edit_json(
    dataset / 'dataset_info.json',
    lambda info: info['splits'][0].update(numBytes=str(framed - 8 * 16)),
  )
  assert told(dataset) == []


@pytest.mark.parametrize(
  ('name', 'content', 'message'),
  [
    ('dataset_info.json', '{"name": "x', 'dataset_info.json: damaged'),
    ('dataset_info.json', '{"splits": 3}', 'is not as TFDS writes it'),
    ('dataset_info.json', '[]', 'is not as TFDS writes it'),
    ('features.json', '{}', 'is not as TFDS writes it'),
    (
      'features.json',
      '{"featuresDict": {"features": {"text": {}}}}',
      "a dataset of other features: 'text'",
    ),
  ],
)
def test_metadata_that_cannot_be_used(dataset, name, content, message):
  (dataset / name).write_text(content)
  with pytest.raises(errors.InputError, match=message):
    verify.verify(dataset)


def test_other_formats_are_refused(dataset):
  edit_json(
    dataset / 'dataset_info.json',
    lambda info: info.update(fileFormat='array_record'),
  )
  with pytest.raises(errors.InputError, match="'array_record'"):
    verify.verify(dataset)


def test_a_label_file_for_several_splits_is_refused(dataset):
  edit_json(
    dataset / 'dataset_info.json',
    lambda info: info['splits'].append({**info['splits'][0], 'name': 'test'}),
  )
  with pytest.raises(errors.InputError, match='2 splits'):
    verify.verify(dataset, label_file=VAL)
  assert told(dataset)[0].endswith('the file is missing')


def test_findings_are_words():
  finding = check_records.Finding('data_0.tfrecord', 'bad', 3, 4567)
  assert str(finding) == 'data_0.tfrecord: record 3 at byte 4567: bad'
  assert str(check_records.Finding('data', 'bad')) == 'data: bad'


# --- the tool ---


def test_the_tool_in_one_line(originals, capsys):
  folder = originals / 'raw'
  size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
  assert __main__.main(['verify', str(folder), '--decode']) == 0
  assert capsys.readouterr().out == (
    f'{folder}: 4 files, 8 records, {size:.1f} MB: no faults\n'
  )


def test_the_tool_from_the_shell(raw):
  command = [sys.executable, '-m', 'imagenet_val_tfrec', 'verify', str(raw)]
  options = {'cwd': making.ROOT, 'capture_output': True, 'text': True}
  run = subprocess.run(command, check=False, **options)
  assert run.returncode == 0
  assert 'Verifying' in run.stderr
  # As files come out of a transfer in text mode.
  image = making.picture('plain').replace(b'\n', b'\r\n')
  change(raw / 'data_0.tfrecord', 0, image=image)
  flip(raw / 'data_1.tfrecord', -1)
  run = subprocess.run([*command, '--decode'], check=False, **options)
  assert run.returncode == 1
  assert (
    'data_0.tfrecord: record 0 at byte 0: a JPEG that does not decode cleanly: '
    'Corrupt JPEG data: 4 extraneous bytes before marker 0xdb'
  ) in run.stdout
  assert 'data_1.tfrecord: record 1 at byte' in run.stdout


def test_the_tool_names_what_is_wrong(raw, capsys):
  flip(raw / 'data_1.tfrecord', -1)
  (raw / 'data_2.tfrecord').unlink()
  gif = picture('GIF')
  change(raw / 'data_0.tfrecord', 0, image=gif, height=8, width=9)
  assert __main__.main(['verify', str(raw), '--label_file', VAL]) == 1
  lines = capsys.readouterr().out.splitlines()
  assert [line.split(':')[0].removeprefix(f'{raw}/') for line in lines] == [
    'data_1.tfrecord',
    'data_2.tfrecord',
    str(raw),
  ]
  assert '3 files, 6 records (1 of them PNG, GIF or BMP), ' in lines[-1]
  assert lines[-1].endswith(' MB: 2 faults')


@pytest.mark.parametrize(
  ('arguments', 'code', 'message'),
  [
    (['verify', 'nowhere'], 1, "error: no folder 'nowhere'"),
    (['verify', '.'], 1, 'dataset_info.json'),
    (['verify', '.', '--workers', '-1'], 1, 'workers is -1'),
    (['adopt', 'nowhere', '--data_dir', 'data'], 1, "no folder 'nowhere'"),
    (['adopt', 'nowhere'], 2, '--data_dir'),
    (['adopt', '.', '--data_dir', '.', '--config', '{'], 2, '--config'),
    (['adopt', '.', '--data_dir', '.', '--config', '{"x": 1}'], 2, '--config'),
    ([], 2, 'COMMAND'),
  ],
)
def test_the_tool_says_what_it_cannot_do(tmp_path, arguments, code, message):
  run = subprocess.run(
    [sys.executable, '-m', 'imagenet_val_tfrec', *arguments],
    check=False,
    cwd=tmp_path,
    env={'PYTHONPATH': str(making.ROOT)},
    capture_output=True,
    text=True,
  )
  assert run.returncode == code
  assert message in run.stderr
  assert 'Traceback' not in run.stderr


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
