"""The record with five fields, or six, written and read without TensorFlow.

Where an image has several labels, `labels` is in place of `label`.

A record is a `tf.train.Example` in a TFRecord frame. Its bytes are those of
`Example.SerializeToString(deterministic=True)`, map keys in sorted order,
written by `tf.io.TFRecordWriter`. (In another order, the map may be serialised
otherwise in every process: see
https://protobuf.dev/programming-guides/serialization-not-canonical/) Sources:
`tensorflow/core/example/{example,feature}.proto` and
https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import array
import dataclasses
import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import google_crc32c
from google.protobuf import message as protobuf

from imagenet_val_tfrec.core import storage
from imagenet_val_tfrec.records import frames, images, jpeg

# What a record adds to its image: frame, field names, tags, shape and label.
# This is the most, for labels up to MAX_LABEL and images below 2**28 bytes. A
# file name, or a list of labels, takes its own bytes and these more; a label in
# a list at most `LABEL_BYTES`.
MAX_OVERHEAD = 128
FIELD_OVERHEAD = 32
LABEL_BYTES = 5

MAX_LABEL = 2**31 - 1  # `legacy.parser` returns int32.
# What is said where there can be only one.
SEVERAL = (
  "several labels an image ('labels'), expected one ('label'): `imagenet_val_"
  'tfrec build` keeps them, and tfds.load reads them'
)

# Tags of the wire format: field number << 3 | 2 (length-delimited).
_FIELD_1, _FIELD_2, _FIELD_3 = b'\x0a', b'\x12', b'\x1a'
_IMAGE_KEY = b'\x0a\x05image\x12'
_SHAPE = ('height', 'width', 'chans')
_INTEGERS = 'int64_list'
_VARINT = rb'([\x80-\xff]{0,4}[\0-\x7f])'
_FEATURES = re.compile(_FIELD_1 + _VARINT, re.DOTALL)
# Lengths of the map entry, its Feature, its BytesList and the image.
_IMAGE_ENTRY = re.compile(
  _FIELD_1.join([b'', _VARINT + _IMAGE_KEY + _VARINT, _VARINT, _VARINT]),
  re.DOTALL,
)
# Protobuf takes up to twelve times as much memory for a hostile record.
_MOST_PARSED = 16 << 20
# Most bytes of a record without its image; so its labels fit that fit in a line
# of a label file.
_HEAD = 1 << 16

Label: TypeAlias = 'int | tuple[int, ...]'


class Lists(Sequence[tuple[int, ...]]):
  """Lists of integers, kept in two arrays: all `numbers`, and the `ends`.

  Before the ends of the lists stands a 0.
  """

  def __init__(
    self, numbers: array.array[int], ends: array.array[int] | None = None
  ):
    self.numbers = numbers
    self.ends = array.array('q', [0]) if ends is None else ends

  def __len__(self) -> int:
    return len(self.ends) - 1

  def __getitem__(self, index: Any) -> Any:  # A tuple; or lists, of a slice.
    if isinstance(index, slice):
      some = Lists(self.numbers[:0])
      some.extend(map(self.__getitem__, range(len(self))[index]))
      return some
    return tuple(self.numbers[self.ends[index] : self.ends[index + 1]])

  def append(self, numbers: Iterable[int]) -> None:
    """Adds a list."""
    self.numbers.extend(numbers)
    self.ends.append(len(self.numbers))

  def extend(self, lists: Iterable[Iterable[int]]) -> None:
    """Adds some lists."""
    for numbers in lists:
      self.append(numbers)


def number_of_labels(several: bool) -> str:
  """Says how many labels an image has, for a message."""
  return 'a list of labels' if several else 'one label'


def each(label: Label) -> tuple[int, ...]:
  """Returns the labels of one image."""
  return label if isinstance(label, tuple) else (label,)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Record:
  """One example; `chans` and `image` as stored in the image's file.

  If the file name is empty, there is no such field. If the label is a tuple,
  the field is `labels`.
  """

  label: Label
  height: int
  width: int
  chans: int
  image: bytes
  file_name: bytes = b''


def serialise(record: Record) -> list[bytes]:
  """Returns the framed record in five parts, so that no image is copied."""
  image = record.image
  size = len(image)
  head = _FIELD_1 + _varint(size)  # BytesList.value
  head = _FIELD_1 + _varint(len(head) + size) + head  # Feature.bytes_list
  head = _IMAGE_KEY + _varint(len(head) + size) + head  # The map entry
  head = _FIELD_1 + _varint(len(head) + size) + head  # Features.feature
  before = _integer('chans', record.chans)
  if record.file_name:
    before += _entry('file_name', _FIELD_1, record.file_name)
  before += _integer('height', record.height) + head
  label = record.label
  if isinstance(label, int):
    after = _integer('label', label) + _integer('width', record.width)
  else:
    after = _entry('labels', _FIELD_3, b''.join(map(_varint, label)))
    after += _integer('width', record.width)
  features = len(before) + size + len(after)
  before = _FIELD_1 + _varint(features) + before  # Example.features
  crc = google_crc32c.value(before)
  crc = google_crc32c.extend(crc, image)
  crc = google_crc32c.extend(crc, after)
  return [
    frames.frame_header(len(before) + size + len(after)),
    before,
    image,
    after,
    frames.footer(crc),
  ]


def parse(payload: bytes, several: bool = False) -> Record:
  """Reads a serialised `tf.train.Example`; further features are passed over.

  It has a list of `labels` if there are `several`, else one `label`. Raises
  RecordError if it is none, or a field is missing or not as expected.
  """
  image = None
  if apart := _without_image(payload):
    features, image = apart
  elif len(payload) > _MOST_PARSED:
    raise frames.RecordError(
      f'a record of {len(payload):,} bytes that is not mostly an image'
    )
  else:
    features = dict(_parse(payload, 'Example').features.feature)
  of_label = 'labels' if several else 'label'
  expected = (of_label, *_SHAPE) if apart else (of_label, *_SHAPE, 'image')
  if missing := [name for name in expected if name not in features]:
    if missing == ['label'] and 'labels' in features:
      raise frames.RecordError(SEVERAL)
    raise frames.RecordError(
      f'no field {", ".join(map(repr, missing))}; expected {of_label}, height, '
      'width, chans and image'
    )
  if image is None:
    image = _only('image', features['image'], 'bytes_list')
  elif 'image' in features:
    raise frames.RecordError("field 'image' occurs twice, expected one")
  integers = {name: _only(name, features[name], _INTEGERS) for name in _SHAPE}
  if several:
    values = features['labels']
    # Of an empty list TFDS writes no kind.
    has_kind = values.WhichOneof('kind')
    label = tuple(_values('labels', values, _INTEGERS)) if has_kind else ()
  else:
    label = _only('label', features['label'], _INTEGERS)
  file_name = b''
  if 'file_name' in features:
    file_name = _only('file_name', features['file_name'], 'bytes_list')
  return Record(label=label, **integers, image=image, file_name=file_name)


def read(
  reader: storage.RandomReader,
  frame: frames.Frame,
  max_pixels: int = jpeg.MAX_PIXELS,
  several: bool = False,
) -> Record:
  """Reads a record from an open file; RecordError as in `parse`.

  Its image may have a byte for each of `max_pixels`, or 100 MB if that is more.
  No more than two copies of it are in memory at a time.
  """
  most = max(max_pixels, jpeg.MAX_PIXELS) + _HEAD
  return parse(frame.payload(reader, most), several)


def label_problem(label: int, num_classes: int | None = None) -> str:
  """Says why a label is not below `num_classes`, where known; '' if it is."""
  most = MAX_LABEL if num_classes is None else num_classes - 1
  if 0 <= label <= most:
    return ''
  return f'label {label} is out of range, expected 0..{most}'


def check(
  record: Record, checks: jpeg.Checks, num_classes: int | None = None
) -> None:
  """Checks that a record says what its image is, and that its label is right.

  The image may promise any number of pixels, but too many are not decoded.
  Raises FormatError if it cannot be used, else RecordError.
  """
  for label in each(record.label):
    if problem := label_problem(label, num_classes):
      raise frames.RecordError(problem)
  # The writer of the record decided what an image may be.
  shape = images.read_shape(record.image, images.ALL)
  stored = jpeg.Shape(record.height, record.width, record.chans)
  if stored != shape:
    raise frames.RecordError(
      f'stored height, width and chans are {stored}, but those of the image '
      f'are {shape}'
    )
  if checks.decode:
    images.check_decodes(record.image, shape, checks.max_pixels)


def _without_image(payload: bytes) -> tuple[dict[str, Any], bytes] | None:
  """Returns the other features and the image, copying nothing else.

  None if it does not stand where every known writer puts it: in one entry,
  close to the start.
  """
  start = _FEATURES.match(payload)
  entry = _IMAGE_ENTRY.search(payload, 0, _HEAD)
  if not start or not entry or _end(start, 1) != len(payload):
    return None
  end = _end(entry, 4)
  if end > len(payload) or any(_end(entry, i) != end for i in (1, 2, 3)):
    return None
  before, behind = payload[start.end() : entry.start()], payload[end:]
  if len(before) + len(behind) > _HEAD:
    return None
  # The entries around it are two `Features` messages by themselves.
  try:  # If this is whole, what was found is no part of another field.
    features = dict(_parse(before, 'Features').feature)
  except frames.RecordError:
    return None
  features.update(_parse(behind, 'Features').feature)
  return features, payload[entry.end() : end]


def _end(match: re.Match[bytes], group: int) -> int:
  """Returns where the field ends whose length is in that group."""
  length = 0
  for i, byte in enumerate(match[group]):
    length |= (byte & 0x7F) << 7 * i
  return match.end(group) + length


def _parse(content: bytes, kind: str) -> Any:
  """Parses a protobuf message of TensorFlow's: an Example, or Features."""
  # TFDS's copy of the .proto files comes without TensorFlow.
  from tensorflow_datasets.proto import tf_example_pb2, tf_feature_pb2

  of_file = tf_example_pb2 if kind == 'Example' else tf_feature_pb2
  try:
    return getattr(of_file, kind).FromString(content)
  except protobuf.DecodeError as e:
    raise frames.RecordError('not a tf.train.Example') from e


def _only(name: str, feature: Any, kind: str) -> Any:
  """Returns the one value of a feature, which is of that kind."""
  values = _values(name, feature, kind)
  if len(values) != 1:
    many = 'several values' if values else 'no value'
    raise frames.RecordError(f'field {name!r} holds {many}, expected one')
  return values[0]


def _values(name: str, feature: Any, kind: str) -> Any:
  """Returns the values of a feature, which is of that kind."""
  if feature.WhichOneof('kind') != kind:
    expected = 'bytes' if kind == 'bytes_list' else 'integers'
    raise frames.RecordError(f'field {name!r} holds no {expected}')
  return getattr(feature, kind).value


@functools.lru_cache(maxsize=1 << 14)  # Sizes and labels recur.
def _integer(key: str, value: int) -> bytes:
  """Returns the map entry of an int64 feature with one value."""
  return _entry(key, _FIELD_3, _varint(value))  # Feature.int64_list


def _entry(key: str, kind: bytes, value: bytes) -> bytes:
  """Returns the map entry of a feature; `value` is that of its list."""
  feature = _FIELD_1 + _varint(len(value)) + value if value else b''
  feature = kind + _varint(len(feature)) + feature
  name = key.encode()
  entry = _FIELD_1 + _varint(len(name)) + name
  entry += _FIELD_2 + _varint(len(feature)) + feature
  return _FIELD_1 + _varint(len(entry)) + entry  # Features.feature


def _varint(value: int) -> bytes:
  """Returns a number of 0 or more as a varint."""
  parts = bytearray()
  while value > 0x7F:
    parts.append(value & 0x7F | 0x80)
    value >>= 7
  parts.append(value)
  return bytes(parts)
