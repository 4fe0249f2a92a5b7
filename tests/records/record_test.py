"""The record: bit for bit what protobuf and TFRecordWriter make, and back.

Of `frames`, too.
"""

import dataclasses
import struct

import making
import pytest
import tensorflow as tf

from imagenet_val_tfrec.records import frames
from imagenet_val_tfrec.records import record as record_lib

RECORDS = [
  record_lib.Record(label=0, height=1, width=1, chans=1, image=b''),
  record_lib.Record(
    label=65, height=375, width=500, chans=3, image=b'\xff\xd8'
  ),
  record_lib.Record(
    label=999, height=65500, width=127, chans=4, image=bytes(128)
  ),
  record_lib.Record(
    label=2**31 - 1, height=128, width=65500, chans=3, image=bytes(16384)
  ),
  record_lib.Record(label=127, height=3, width=5, chans=3, image=bytes(127)),
  record_lib.Record(label=128, height=3, width=5, chans=3, image=bytes(2**21)),
  *(
    record_lib.Record(
      label=5, height=7, width=9, chans=3, image=bytes(200), file_name=name
    )
    for name in (b'a', b'n01440764/\xff.JPEG', b'x' * 4096)
  ),
  *(
    record_lib.Record(label=labels, height=7, width=9, chans=3, image=image)
    for labels, image in [
      ((), b'x'),
      ((7,), b'x'),
      ((2**31 - 1, 0, 128), bytes(200)),
      # As many as fit in a line of a label file, and an image that protobuf
      # would not be asked to parse.
      (tuple(range(10_000)), bytes(17 << 20)),
    ]
  ),
  *(
    record_lib.Record(label=i, height=7, width=9, chans=3, image=image)
    for i, image in enumerate(making.pictures())
  ),
]


def int64(*values: int) -> tf.train.Feature:
  return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def raw(*values: bytes) -> tf.train.Feature:
  return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def example(record: record_lib.Record, **other: tf.train.Feature):
  of_label = 'label' if isinstance(record.label, int) else 'labels'
  return tf.train.Example(
    features=tf.train.Features(
      feature={
        of_label: int64(*record_lib.each(record.label)),
        'height': int64(record.height),
        'width': int64(record.width),
        'chans': int64(record.chans),
        'image': raw(record.image),
        **({'file_name': raw(record.file_name)} if record.file_name else {}),
        **other,
      }
    )
  )


def framed(payload: bytes) -> bytes:
  header = frames.frame_header(len(payload))
  return header + payload + struct.pack('<I', frames.masked_crc(payload))


def test_bits_are_those_of_protobuf_and_tfrecordwriter(tmp_path):
  path = str(tmp_path / 'by_tensorflow')
  with tf.io.TFRecordWriter(path) as writer:
    for record in RECORDS:
      writer.write(example(record).SerializeToString(deterministic=True))
  ours = b''.join(b''.join(record_lib.serialise(r)) for r in RECORDS)
  assert ours == (tmp_path / 'by_tensorflow').read_bytes()


def test_the_image_is_not_copied():
  image = making.picture()
  parts = record_lib.serialise(
    record_lib.Record(label=1, height=2, width=3, chans=3, image=image)
  )
  assert any(part is image for part in parts)


def test_the_overhead_is_what_is_promised():
  for record in RECORDS:
    size = sum(map(len, record_lib.serialise(record)))
    size -= len(record.image) + len(record.file_name)
    most = record_lib.MAX_OVERHEAD
    most += record_lib.FIELD_OVERHEAD * bool(record.file_name)
    if isinstance(record.label, tuple):
      of_labels = record_lib.LABEL_BYTES * len(record.label)
      most += record_lib.FIELD_OVERHEAD + of_labels
    assert size <= most


@pytest.mark.parametrize('record', RECORDS)
def test_parse_undoes_serialise(record):
  payload = b''.join(record_lib.serialise(record)[1:-1])
  several = isinstance(record.label, tuple)
  assert record_lib.parse(payload, several) == record
  with pytest.raises(frames.RecordError, match=r"no field 'label|several"):
    record_lib.parse(payload, not several)


def test_an_empty_list_as_tfds_writes_it():
  empty = dataclasses.replace(RECORDS[1], label=())
  payload = example(empty, labels=tf.train.Feature()).SerializeToString()
  assert record_lib.parse(payload, several=True) == empty


def test_what_others_write_is_read():
  record = RECORDS[1]
  features = example(record).features.feature
  unpacked = b'\x1a\x02\x08\x41'  # int64_list { value: 65 }, not packed.
  entries = [
    (key, unpacked if key == 'label' else features[key].SerializeToString())
    for key in ('width', 'image', 'label', 'chans', 'height')
  ]
  entries.insert(2, ('other', raw(b'1', b'2').SerializeToString()))
  entries.insert(0, ('nothing', b''))
  payload = b''
  for key, feature in entries:
    entry = b'\x0a' + making.varint(len(key)) + key.encode()
    entry += b'\x12' + making.varint(len(feature)) + feature
    payload += b'\x0a' + making.varint(len(entry)) + entry
  payload = b'\x0a' + making.varint(len(payload)) + payload
  assert (
    tf.train.Example.FromString(payload).features.feature['label']
    == (features['label'])
  )
  assert record_lib.parse(payload) == record


def map_entry(key: str, *features: tf.train.Feature) -> bytes:
  """Returns an example of one field, whose features are run together."""
  content = b''.join(feature.SerializeToString() for feature in features)
  entry = b'\x0a' + making.varint(len(key)) + key.encode()
  entry += b'\x12' + making.varint(len(content)) + content
  for _ in range(2):
    entry = b'\x0a' + making.varint(len(entry)) + entry
  return entry


def test_a_field_is_of_one_kind():
  """Of two, the last one counts."""
  whole = example(RECORDS[1]).SerializeToString()
  with pytest.raises(frames.RecordError, match="'image' holds no bytes"):
    record_lib.parse(whole + map_entry('image', raw(b'x'), int64(5)))
  with pytest.raises(frames.RecordError, match="'label' holds no integers"):
    record_lib.parse(whole + map_entry('label', int64(5), raw(b'x')))


def test_negative_labels_are_read_as_such():
  payload = example(RECORDS[0], label=int64(-5)).SerializeToString()
  assert record_lib.parse(payload).label == -5


def without(name: str) -> bytes:
  message = example(RECORDS[1])
  del message.features.feature[name]
  return message.SerializeToString()


@pytest.mark.parametrize(
  ('payload', 'complaint'),
  [
    (b'', "no field 'label', 'height', 'width', 'chans', 'image'; expected la"),
    (without('image'), "no field 'image'; expected label, height, width, chan"),
    (without('label'), "no field 'label'; expected label, height, width, chan"),
    (
      example(RECORDS[1], label=raw(b'5')).SerializeToString(),
      "field 'label' holds no integers",
    ),
    (
      example(RECORDS[1], image=int64(5)).SerializeToString(),
      "field 'image' holds no bytes",
    ),
    (
      example(RECORDS[1], image=raw(b'1', b'2')).SerializeToString(),
      "field 'image' holds several values, expected one",
    ),
    (
      example(RECORDS[1], image=raw()).SerializeToString(),
      "field 'image' holds no value, expected one",
    ),
    (
      example(RECORDS[1], image=tf.train.Feature()).SerializeToString(),
      "field 'image' holds no bytes",
    ),
    (
      example(
        RECORDS[1],
        width=tf.train.Feature(int64_list=tf.train.Int64List(value=[1, 2])),
      ).SerializeToString(),
      "field 'width' holds several values, expected one",
    ),
    (
      example(RECORDS[1]).SerializeToString()[:-1],
      'not a tf.train.Example',
    ),
    (b'\x0a', 'not a tf.train.Example'),
    (b'\xff' * 11, 'not a tf.train.Example'),
    (b'\x0f', 'not a tf.train.Example'),
    (making.picture(), 'not a tf.train.Example'),
  ],
  # Not by the bytes: protobuf orders a map's entries anew in each process.
  ids=lambda value: value if isinstance(value, str) else '',
)
def test_what_is_no_record(payload, complaint):
  with pytest.raises(frames.RecordError) as e:
    record_lib.parse(payload)
  assert complaint in str(e.value)
  assert len(str(e.value)) < 200


@pytest.mark.parametrize('length', [0, 1, 2**32, 2**63])
def test_a_length_comes_back(length):
  assert frames.frame_length(frames.frame_header(length)) == length


HEADER = frames.frame_header(300)


@pytest.mark.parametrize(
  ('header', 'complaint'),
  [
    (b'', 'file ends within a record header of 12 bytes'),
    (HEADER[:11], 'file ends within a record header of 12 bytes'),
    (b'\0' + HEADER[1:], 'checksum of the record length does not match'),
    (HEADER[:11] + b'\0', 'checksum of the record length does not match'),
    (bytes(12), 'checksum of the record length does not match'),
  ],
)
def test_bad_frame_headers(header, complaint):
  with pytest.raises(frames.RecordError) as e:
    frames.frame_length(header)
  assert str(e.value) == complaint


def test_payloads_are_checked():
  payload, crc = b'123456789', 0xE3069283  # The usual example of CRC-32C.
  frames.check_payload(payload, frames.footer(crc))
  with pytest.raises(frames.RecordError, match='ends within a record'):
    frames.check_payload(payload, frames.footer(crc)[:3])
  with pytest.raises(frames.RecordError, match='data does not match'):
    frames.check_payload(b'023456789', frames.footer(crc))
  with pytest.raises(frames.RecordError, match='data does not match'):
    frames.check_payload(payload, bytes(4))


def test_large_records_are_parsed_only_where_they_are_images():
  image = bytes(17 << 20)
  record = dataclasses.replace(RECORDS[1], image=image)
  in_parts = b''.join(record_lib.serialise(record)[1:-1])
  assert record_lib.parse(in_parts) == record
  assert record_lib.parse(example(record).SerializeToString()) == record
  hostile = map_entry(
    'label',
    tf.train.Feature(int64_list=tf.train.Int64List(value=bytes(17 << 20))),
  )
  with pytest.raises(frames.RecordError, match='not mostly an image'):
    record_lib.parse(hostile)


def test_an_image_is_not_taken_out_of_another_field():
  """What looks like the entry of an image, but stands within another one."""
  inner = map_entry('image', raw(bytes(200)))
  planted = example(RECORDS[1], other=raw(inner)).SerializeToString()
  assert record_lib.parse(planted) == RECORDS[1]
