"""Any bytes at all: they are read, or refused in the documented way.

Every reader of what others made gets bytes from nowhere, and good input with a
few bytes changed. It has a second for each, and messages stay short and plain.
"""

import datetime
import io
import json
import tarfile
import tracemalloc

import hypothesis
import making
import pytest
import targets
import tensorflow as tf
from google.protobuf import message
from hypothesis import strategies as st

from imagenet_val_tfrec.inputs import entries, tar_index
from imagenet_val_tfrec.inputs import labels as labels_lib
from imagenet_val_tfrec.records import frames, jpeg
from imagenet_val_tfrec.records import record as record_lib

SECOND = datetime.timedelta(seconds=1)
given = hypothesis.given
many = hypothesis.settings(max_examples=600, deadline=SECOND)
some = hypothesis.settings(max_examples=200, deadline=SECOND)


@st.composite
def damaged(draw, good: st.SearchStrategy[bytes]) -> bytes:
  """Draws good bytes, and changes, removes or inserts a few."""
  data = bytearray(draw(good))
  for _ in range(draw(st.integers(1, 4))):
    at = draw(st.integers(0, len(data)))
    piece = draw(st.binary(max_size=4))
    data[at : at + draw(st.sampled_from([0, len(piece), 1, 600]))] = piece
  return bytes(data)


def check_message(error: Exception, about: str = '') -> None:
  message = str(error)
  assert about in message
  assert len(message) < 2000
  assert message.replace('\n', '').isprintable()


# --- label files ---

LINE = st.one_of(
  st.text(max_size=20),
  st.builds('{} {}'.format, st.text(min_size=1, max_size=9), st.integers()),
)
LABEL_FILE = st.one_of(
  st.binary(max_size=300),
  st.lists(LINE, max_size=9).map(lambda lines: '\n'.join(lines).encode()),
  st.lists(LINE, max_size=9).map(lambda lines: '\r\n'.join(lines).encode()),
  damaged(st.just(making.label_text(making.many(9)).encode())),
)


@many
@pytest.mark.filterwarnings('ignore:.*differ from another one only')
@given(content=LABEL_FILE)
def test_label_files(content):
  try:
    found = labels_lib.parse_labels(io.BytesIO(content), path='l.txt')
  except labels_lib.LabelError as e:
    check_message(e, about='l.txt:')
    return
  assert len(set(found.names)) == len(found) >= 1
  for i, name in enumerate(found.names):
    assert name == entries.normalise(name) != ''
    assert not entries.leads_out(name)
    assert not any(ord(letter) < 0x20 for letter in name)
    assert 0 <= found.labels[i] < 2**31
    line = content.split(b'\n')[found.lines[i] - 1].decode()
    if found.class_names:
      assert line.strip().endswith(found.class_names[found.labels[i]])
    else:
      assert line.split()[-1].lstrip('0') in ('', str(found.labels[i]))


@many
@given(
  table=st.dictionaries(
    st.text('aä/.桜-', min_size=1).filter(
      lambda name: (
        not entries.leads_out(name) and entries.normalise(name) == name
      )
    ),
    st.integers(0, 2**31 - 1),
    min_size=1,
  ),
  end=st.sampled_from(['\n', '\r\n']),
  gap=st.sampled_from([' ', '\t', '  \t']),
  start=st.sampled_from(['', '\ufeff', '\n']),
)
def test_good_label_files(table, end, gap, start):
  text = start + ''.join(f'{n}{gap}{v}{end}' for n, v in table.items())
  found = labels_lib.parse_labels(io.BytesIO(text.encode()), path='l.txt')
  assert dict(zip(found.names, found.labels, strict=True)) == table


LABEL = st.one_of(
  st.integers(-1, 2**31), st.text(max_size=3), st.none(), st.booleans()
)


@many
@given(
  lists=st.lists(
    st.one_of(st.lists(st.integers(0, 9), unique=True), st.lists(LABEL), LABEL),
    min_size=1,
    max_size=4,
  )
)
def test_lists_of_labels(lists):
  lines = [
    json.dumps({'file_name': f'{i}.jpg', 'label': labels})
    for i, labels in enumerate(lists)
  ]
  try:
    found = labels_lib.parse_labels(
      io.BytesIO('\n'.join(lines).encode()), path='l.jsonl'
    )
  except labels_lib.LabelError as e:
    check_message(e, about='l.jsonl:')
    assert not all(
      isinstance(labels, list)
      and {*map(type, labels)} <= {int}
      and len({*labels}) == len(labels)
      and all(0 <= label < 2**31 for label in labels)
      for labels in lists
    ) or not any(lists)
    return
  words = found.class_names
  for labels, read in zip(lists, found.labels, strict=True):
    assert isinstance(labels, list) == found.several == isinstance(read, tuple)
    shown = [words[n] if words else str(int(n)) for n in record_lib.each(read)]
    said = labels if found.several else [labels]
    assert shown == [str(s) if words else str(int(s)) for s in said]


# --- JPEG headers ---

SEGMENT = st.builds(
  making.segment,
  st.sampled_from([*range(0xC0, 0x100), 0x01, 0x02]),
  st.binary(max_size=20),
  st.one_of(st.none(), st.integers(0, 65535)),
)
FRAME = st.builds(
  making.frame,
  height=st.sampled_from([0, 1, 3, 65500, 65501, 65535]),
  width=st.sampled_from([0, 1, 5, 1500, 65500]),
  chans=st.integers(0, 5),
  marker=st.sampled_from(range(0xC0, 0xD0)),
  precision=st.sampled_from([8, 8, 8, 2, 12]),
  sampling=st.sampled_from([0x11, 0x11, 0x22, 0x41, 0x00, 0x51]),
)
PART = st.one_of(
  SEGMENT,
  FRAME,
  st.builds(making.frame),
  st.integers(1, 4).map(making.scan),
  st.just(making.ADOBE),
  st.binary(max_size=4),
)
JPEG = st.one_of(
  st.binary(max_size=100),
  st.binary(max_size=100).map(lambda data: b'\xff\xd8\xff' + data),
  st.lists(PART, min_size=1, max_size=6).map(lambda p: making.jpeg(*p)),
  damaged(st.sampled_from([data[:1200] for data in making.pictures()])),
  damaged(st.sampled_from(making.pictures())),
)
# Why an image may be refused whose header TensorFlow reads.
REFUSALS = (
  # It does not decode them.
  'not a JPEG but bytes that only begin like a JPEG',
  "a CMYK JPEG without Adobe's marker",
  'a JPEG that is cut: its end-of-image marker is missing',
  'a JPEG that promises ',
)


@many
@given(data=JPEG)
def test_jpeg_headers(data):
  try:
    ours = jpeg.read_shape(data)
  except jpeg.JpegError as e:
    check_message(e)
    ours = str(e)
  else:
    assert 1 <= ours.height * ours.width <= jpeg.MAX_PIXELS
    assert ours.chans in (1, 3, 4)
  try:
    theirs = tuple(tf.io.extract_jpeg_shape(data).numpy().tolist())
  except tf.errors.InvalidArgumentError:
    return
  if isinstance(ours, str):
    assert ours.startswith(REFUSALS)
  else:
    assert (ours.height, ours.width, ours.chans) == theirs


# --- tars ---

# Headers whose checksums are right, and what follows them.
HEADER = st.builds(
  making.tar_member,
  st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
      [b'10 path=b\n', b'10 size=9\n', b'25 GNU.sparse.major=1000\n']
    ),
  ),
  size=st.integers(0, 600),
  type=st.sampled_from([b'0', b'\0', b'5', b'x', b'g', b'S']),
  at=st.dictionaries(
    st.sampled_from([0, 99, 124, 125, 135, 156, 257, 345, 482]),
    st.sampled_from([b'\0', b'9', b'\x80', b'\xff', b'./', b' ']),
    max_size=2,
  ),
)
TAR = st.one_of(
  st.binary(max_size=2000),
  st.lists(st.sampled_from([bytes(512), b'x' * 512]), max_size=4).map(b''.join),
  st.lists(HEADER, max_size=4).map(b''.join),
  damaged(
    st.builds(
      making.tar_bytes,
      st.dictionaries(st.text('aä/.', min_size=1), st.binary(max_size=600)),
      st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
    )
  ),
)


@many
@given(content=TAR)
def test_tars(content):
  targets.check_tar(content)


# --- records ---

RECORD = st.builds(
  record_lib.Record,
  label=st.integers(0, 2**63 - 1),
  height=st.integers(0, 2**63 - 1),
  width=st.integers(0, 2**63 - 1),
  chans=st.integers(0, 2**63 - 1),
  image=st.binary(max_size=300),
)


def payload_of(record: record_lib.Record) -> bytes:
  return b''.join(record_lib.serialise(record)[1:-1])


@many
@given(record=RECORD)
def test_records_are_protobufs(record):
  payload = payload_of(record)
  assert record_lib.parse(payload) == record
  message = tf.train.Example.FromString(payload)
  assert message.SerializeToString(deterministic=True) == payload
  features = message.features.feature
  assert features['image'].bytes_list.value == [record.image]
  for name in ('label', 'height', 'width', 'chans'):
    assert features[name].int64_list.value == [getattr(record, name)]


@many
@given(
  payload=st.one_of(st.binary(max_size=100), damaged(RECORD.map(payload_of)))
)
def test_payloads(payload):
  try:
    record = record_lib.parse(payload)
  except frames.RecordError as e:
    check_message(e)
    return
  try:
    features = tf.train.Example.FromString(payload).features.feature
  except message.DecodeError:
    return
  assert features['image'].bytes_list.value == [record.image]
  for name in ('label', 'height', 'width', 'chans'):
    assert features[name].int64_list.value == [getattr(record, name)]


@many
@given(
  header=st.one_of(
    st.binary(max_size=16),
    damaged(st.integers(0, 2**64 - 1).map(frames.frame_header)),
  )
)
def test_frame_headers(header):
  try:
    length = frames.frame_length(header)
  except frames.RecordError as e:
    check_message(e)
  else:
    assert frames.frame_header(length) == header[:12]


FRAME_BYTES = st.builds(
  lambda header, payload, footer: header + payload + footer,
  st.one_of(
    st.integers(0, 40).map(frames.frame_header),
    st.sampled_from([2**32 - 1, 2**32, 2**63, 2**64 - 1]).map(
      frames.frame_header
    ),
    st.binary(min_size=12, max_size=12),
  ),
  st.binary(max_size=40),
  st.one_of(st.just(bytes(4)), st.binary(max_size=5)),
)
FILE_OF_FRAMES = st.one_of(
  st.binary(max_size=200),
  st.lists(FRAME_BYTES, max_size=9).map(b''.join),
  st.lists(RECORD, max_size=4).map(
    lambda found: b''.join(b''.join(record_lib.serialise(r)) for r in found)
  ),
  damaged(
    st.lists(RECORD, max_size=4).map(
      lambda found: b''.join(b''.join(record_lib.serialise(r)) for r in found)
    )
  ),
  # Headers at every place, of records that do not fit or are tiny.
  st.builds(
    lambda length, number: frames.frame_header(length) * number,
    st.sampled_from([0, 1, 11, 12, 500, 2**31]),
    st.integers(1, 3000),
  ),
)


@some
@given(content=FILE_OF_FRAMES)
def test_frames_and_damages_tile_the_file(content):
  position = 0
  for part in frames.walk(targets.InMemory(content)):
    assert part.offset == position
    if isinstance(part, frames.Frame):
      header = content[position : position + 12]
      assert header == frames.frame_header(part.length)
      position += part.length + 16
    else:
      assert part.length > 0
      check_message(ValueError(part.what))
      position += part.length
  assert position == len(content)


@some
@given(found=st.lists(RECORD, max_size=6), junk=st.binary(max_size=30))
def test_frames_behind_junk_are_found(found, junk):
  content = [b''.join(record_lib.serialise(record)) for record in found]
  walked = list(frames.walk(targets.InMemory(junk + b''.join(content))))
  lengths = [p.length for p in walked if isinstance(p, frames.Frame)]
  assert lengths[len(lengths) - len(found) :] == [len(c) - 16 for c in content]


# --- memory ---


def varints(number: int) -> bytes:
  """Returns an example whose label is that many integers."""
  message = b'\x0a\x05label\x12'
  content = bytes(number)
  for tag in (b'\x0a', b'\x1a'):
    content = tag + making.varint(len(content)) + content
  entry = message + making.varint(len(content)) + content
  for _ in range(2):
    entry = b'\x0a' + making.varint(len(entry)) + entry
  return entry


def tar_of_names(number: int) -> bytes:
  """Returns a tar with that many global headers, each of a new key."""
  names = b''.join(b'15 k%08d=a\n' % i for i in range(number))
  return making.tar_member(names, type=b'g') * 4


def index(content: bytes) -> list[entries.Entry]:
  return list(tar_index.read_index(targets.InMemory(content), 'x.tar'))


def parse_labels(content: bytes) -> labels_lib.Labels:
  return labels_lib.parse_labels(io.BytesIO(content), path='l.txt')


@pytest.mark.parametrize(
  ('read', 'content', 'error'),
  [
    pytest.param(
      record_lib.parse,
      varints(5_000_000),
      frames.RecordError,
      id='a label of 5 million integers',
    ),
    pytest.param(
      record_lib.parse,
      b'\x08\0' * 300_000,
      frames.RecordError,
      id='300,000 fields',
    ),
    pytest.param(
      parse_labels,
      b'x\n' * 200_000,
      labels_lib.LabelError,
      id='200,000 bad lines',
    ),
    pytest.param(
      parse_labels,
      b'x' * 50_000_000,
      labels_lib.LabelError,
      id='a line of 50 MB',
    ),
    pytest.param(
      jpeg.read_shape,
      b'\xff\xd8' + b'\xff' * 5_000_000,
      jpeg.JpegError,
      id='5 million fill bytes',
    ),
    pytest.param(
      jpeg.read_shape,
      b'\xff\xd8\xff' + b'\xff\0' * 2_500_000,
      jpeg.JpegError,
      id='5 million stray bytes',
    ),
    pytest.param(
      jpeg.read_shape,
      b'\xff\xd8' + b'\xff\xfe\0\2' * 200_000,
      jpeg.JpegError,
      id='200,000 comments',
    ),
    pytest.param(
      index,
      tar_of_names(60_000) + b'x' * 512,
      tar_index.TarError,
      id='many pax keys',
    ),
  ],
)
def test_little_memory_is_taken(read, content, error):
  tracemalloc.start()
  try:
    with pytest.raises(error):
      read(content)
    _, peak = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  # Of the content a part is copied at most once; io.BytesIO shares it.
  assert peak < 10_000_000
