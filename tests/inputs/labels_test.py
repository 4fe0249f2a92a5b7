"""Label files: what is read, what is refused, and in what words.

Of `label_lines` and `magic`, too.
"""

import bz2
import errno
import io
import itertools
import json
import lzma
import random
import tracemalloc
import warnings

import pytest

from imagenet_val_tfrec.core import storage
from imagenet_val_tfrec.inputs import labels as labels_lib


def parse(content: bytes) -> labels_lib.Labels:
  return labels_lib.parse_labels(io.BytesIO(content), path='l.txt')


@pytest.mark.parametrize(
  'content',
  [
    b'a.jpg 3\nb.jpg 0\n',
    b'a.jpg 3\nb.jpg 0',
    b'\xef\xbb\xbfa.jpg 3\nb.jpg 0\n',
    b'a.jpg 3\r\nb.jpg 0\r\n',
    b'a.jpg\t3\nb.jpg\t0\n',
    b'  a.jpg \t 3  \nb.jpg   0\n',
    b'\n\na.jpg 3\n \t\nb.jpg 0\n\n',
    b'./a.jpg 3\n.//./b.jpg 0\n',
    b'a.jpg 003\nb.jpg 00000000000000\n',
    b'a.jpg rose\nb.jpg ash\n',
  ],
)
def test_one_meaning_in_many_spellings(content):
  found = parse(content)
  assert list(found.names) == ['a.jpg', 'b.jpg']
  assert list(found.labels) == [1 if found.class_names else 3, 0]


@pytest.mark.parametrize(
  ('path', 'content'),
  [
    ('l.txt', b'my cat.jpg 1\nb.jpg 0\n'),
    ('l.txt', b'my cat.jpg\t1\nb.jpg\t0\n'),
    ('l.txt', b'my cat.jpg\ttabby cat\nb.jpg\tash\n'),
    ('l.csv', b'my cat.jpg,1\nb.jpg,0\n'),
    ('l.csv', b'filename,label\r\nmy cat.jpg,cat\r\nb.jpg,"ash"\r\n'),
    ('l.csv', b'file_name,label\n"my cat.jpg","cat, tabby"\nb.jpg,ash\n'),
    ('l.csv', b'id,Label,split,Image\n7,cat,a,my cat.jpg\n8,ash,a,b.jpg\n'),
    (
      'l.jsonl',
      b'{"file_name": "my cat.jpg", "label": 1, "box": [1]}\n\n'
      b'{"label": 0, "file_name": "b.jpg"}',
    ),
    (
      'l.jsonl',
      b'{"file_name": "my cat.jpg", "label": "tabby"}\n'
      b'{"file_name": "b.jpg", "label": "ash"}\n',
    ),
  ],
)
def test_label_files_as_people_have_them(path, content):
  found = labels_lib.parse_labels(io.BytesIO(content), path=path)
  assert found.names == ['my cat.jpg', 'b.jpg']
  assert list(found.labels) == [1, 0]


@pytest.mark.parametrize(
  ('names', 'labels'),
  [(None, [2, 0, 1]), (['rose', 'ash', 'elm', 'x'], [0, 1, 2])],
)
def test_words_are_numbered(names, labels):
  content = b'a.jpg rose\nb.jpg ash\nc.jpg elm\n'
  found = labels_lib.parse_labels(
    io.BytesIO(content), path='l.txt', class_names=names
  )
  assert list(found.labels) == labels
  assert found.class_names == tuple(names or ('ash', 'elm', 'rose'))


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'a.jpg 0\nb.jpg ash\n', "l.txt:2: label of 'b.jpg' is 'ash', expected"),
    (b'a.jpg ash\nb.jpg 0\n', "l.txt:2: label of 'b.jpg' is the number 0, exp"),
    (b'a.jpg ash\nb.jpg 2.5\n', "l.txt:2: label of 'b.jpg' is '2.5', expect"),
    (b'a.jpg elm\nb.jpg oak\n', '1 labels are not among the class names:\n  l'),
  ],
)
def test_words_that_do_not_fit(content, message):
  names = ['elm', 'fir'] if b'oak' in content else None
  with pytest.raises(labels_lib.LabelError) as e:
    labels_lib.parse_labels(
      io.BytesIO(content), path='l.txt', class_names=names
    )
  assert message in str(e.value)


@pytest.mark.parametrize(
  ('key', 'lists', 'class_names', 'expected'),
  [
    ('label', [[1, 4], [], [0]], None, None),
    ('labels', [[3]], None, None),
    ('labels', [['4', 1]], None, [[4, 1]]),
    ('label', [[], ['b', 'a'], ['c']], None, [[], [1, 0], [2]]),
    ('label', [['b']], ['a', 'b'], [[1]]),
    # As many as fit in a line.
    ('label', [[*range(10_000)]], None, None),
  ],
)
def test_lists_of_labels(key, lists, class_names, expected):
  lines = [
    json.dumps({'file_name': f'{i}.jpg', key: labels})
    for i, labels in enumerate(lists)
  ]
  found = labels_lib.parse_labels(
    io.BytesIO('\n'.join(lines).encode()),
    path='l.jsonl',
    class_names=class_names,
  )
  assert [*map(list, found.labels)] == (expected or lists)
  assert [*found.part(1, 3).labels] == [*found.labels][1:3]
  assert found.num_classes() == 1 + max(itertools.chain(*found.labels))


@pytest.mark.parametrize(
  ('path', 'content', 'message'),
  [
    ('l.csv', b'a.jpg,1,2\n', 'l.csv:1: 3 columns, without a header such as'),
    ('l.csv', b'a.jpg\n', 'l.csv:1: 1 columns, without a header such as'),
    ('l.csv', b'a.jpg,1\nb.jpg\n', "l.csv:2: 1 columns: found 'b.jpg'"),
    ('l.csv', b'a.jpg,1\nb.jpg,\n', 'l.csv:2: no name or no label: found'),
    ('l.csv', b'a.jpg,1\n"b.jpg,1\n', 'l.csv:2: unexpected end of data: fou'),
    ('l.csv', b'a.jpg,1\n/b.jpg,1\n', "l.csv:2: absolute name '/b.jpg'"),
    ('l.jsonl', b'{"file_name": "a.jpg"}\n', "l.jsonl:1: found '{"),
    ('l.jsonl', b'{"file_name": "a", "label": [1.5]}\n', 'l.jsonl:1: found'),
    ('l.jsonl', b'{"file_name": "a", "label": [[1]]}\n', 'l.jsonl:1: found'),
    ('l.jsonl', b'{"file_name": "a", "label": [true]}', 'l.jsonl:1: found'),
    (
      'l.jsonl',
      b'{"file_name": "a", "label": [-1]}',
      "label of 'a' is '-1', e",
    ),
    ('l.jsonl', b'{"file_name": "a", "label": [1, "x"]}', "is 'x', expected d"),
    (
      'l.jsonl',
      b'{"file_name": "a", "label": ["x", 1]}',
      'is the number 1, ex',
    ),
    (
      'l.jsonl',
      b'{"file_name": "a", "label": []}',
      'l.jsonl: all lists of lab',
    ),
    (
      'l.jsonl',
      b'{"file_name": "a", "label": ""}',
      "label of 'a' is '', expec",
    ),
    (
      'l.jsonl',
      b'{"file_name": "a", "label": "x\\ny"}',
      r"is 'x\ny', expected",
    ),
    (
      'l.jsonl',
      b'{"file_name": "a", "label": 1, "labels": [1, 2]}',
      'l.jsonl:1: found',
    ),
    (
      'l.jsonl',
      b'{"file_name": "a", "label": [1, 1]}\n{"file_name": "b", "label": [1]}',
      "1 lines cannot be read:\n  l.jsonl:1: labels of 'a' name a class twice: "
      "'1, 1'\n",
    ),
    ('l.txt', b'a.jpg\t1 4\n', 'several labels need a .jsonl file'),
    ('l.txt', b'a.jpg 1|4\n', 'several labels need a .jsonl file: "label": [3'),
    ('l.csv', b'a.jpg,"1,4"\n', 'several labels need a .jsonl file'),
    ('l.jsonl', b'{"file_name": "a", "label": true}\n', 'l.jsonl:1: found'),
    ('l.jsonl', b'{"file_name": "a", "label": -1}\n', "l.jsonl:1: label of 'a"),
    ('l.jsonl', b'["a", 1]\n', 'l.jsonl:1: found'),
    ('l.jsonl', b'a.jpg 1\n', 'l.jsonl:1: Expecting value'),
    ('l.jsonl', b'[' * 60_000 + b'\n', 'l.jsonl:1: '),
  ],
)
def test_bad_tables(path, content, message):
  with pytest.raises(labels_lib.LabelError) as e:
    labels_lib.parse_labels(io.BytesIO(content), path=path)
  assert message in str(e.value)
  assert len(str(e.value)) < 500


def test_lines_are_those_of_the_file():
  found = parse(b'\n\na.jpg 3\n\nb.jpg 0\n')
  assert [found.where(0), found.where(1)] == ['l.txt:3', 'l.txt:5']


@pytest.mark.parametrize(
  'name',
  [
    'blüte.jpg',
    '花/桜.jpg',
    'a\u00a0b.jpg',
    'n01440764/x.JPEG',
    '..a.jpg',
    'a..',
    '[1].jpg',
    '{x}.jpg',
    '-n',
    'a\\b.jpg',
    '#1.jpg',
    'BZh9.jpg',
    'Rar!.jpg',
    '{',
    'n/' * 2047 + 'aa',  # 4,096 bytes.
  ],
)
def test_names_are_kept(name):
  assert parse(f'{name} 1\n'.encode()).names == [name]


@pytest.mark.parametrize(
  ('name', 'normal'),
  [('./a', 'a'), ('a//b', 'a/b'), ('a/./b', 'a/b'), ('././/a/b/', 'a/b')],
)
def test_names_are_normalised(name, normal):
  assert parse(f'{name} 1\n'.encode()).names == [normal]


LARGEST = 2**31 - 1


@pytest.mark.parametrize(
  ('line', 'complaint'),
  [
    (b'a.jpg', "l.txt:1: no label: found 'a.jpg' (is the file cut?)"),
    (b'a.jpg ', "l.txt:1: no label: found 'a.jpg' (is the file cut?)"),
    (b'65', "l.txt:1: only a number: found '65'. Bare ids, as in the ILSVRC"),
    (b'a.jpg,1', "commas between the columns, expected a space: found 'a.jp"),
    (b'1 a.jpg', "l.txt:1: columns are swapped: found '1 a.jpg'"),
    (b'a.jpg -1', "label of 'a.jpg' is '-1', expected digits 0-9 only"),
    (b'a.jpg +1', "label of 'a.jpg' is '+1', expected digits 0-9 only"),
    (b'a.jpg 1.0', "label of 'a.jpg' is '1.0', expected digits"),
    (b'a.jpg 1_000', "label of 'a.jpg' is '1_000', expected digits"),
    (b'a.jpg 0x1', "label of 'a.jpg' is '0x1', expected digits"),
    ('a.jpg ٣'.encode(), "label of 'a.jpg' is '٣', expected digits 0-9 only"),
    ('a.jpg ²'.encode(), "label of 'a.jpg' is '²', expected digits 0-9 only"),
    (b'a.jpg 2147483648', "label of 'a.jpg' is out of range: '2147483648'"),
    (b'a.jpg ' + b'9' * 5000, "label of 'a.jpg' is out of range: '99999"),
    ('a.jpg\u00a01'.encode(), 'an unusual blank between the columns'),
    (b'a.jpg\x0b1', 'an unusual blank between the columns'),
    (b'/data/a.jpg 1', "absolute name '/data/a.jpg', expected one relative"),
    (b'../a.jpg 1', """".." in name '../a.jpg'"""),
    (b'a/../b.jpg 1', """".." in name 'a/../b.jpg'"""),
    (b'a/.. 1', """".." in name 'a/..'"""),
    (b'./ 1', "'./' is not an image name"),
    (b'. 1', "'.' is not an image name"),
    (b'.. 1', """".." in name '..'"""),
    (b'a\x1b[2J.jpg 1', r"control character in name 'a\x1b[2J.jpg'"),
    ('a\u009b.jpg 1'.encode(), r"control character in name 'a\x9b.jpg'"),
    (b'a\x7f.jpg 1', r"control character in name 'a\x7f.jpg'"),
    (b'a\xff.jpg 1', 'l.txt:1: byte 1 is not UTF-8 text'),
    (b'a' * 4097 + b' 1', 'a name of more than 4,096 bytes: '),
    ('桜'.encode() * 1366 + b' 1', 'a name of more than 4,096 bytes: '),
    (b'./' * 2048 + b'a 1', 'a name of more than 4,096 bytes: '),
    (b'/' + b'a' * 3000 + b' 1', "absolute name '/aaa"),
    (b'../' + b'\x1b' * 3000 + b' 1', 'control character in name '),
    (b'a' * 4000 + b' -', 'expected digits 0-9 only'),
    (
      b'a.jpg 1\rb.jpg 2\r',
      r"the line has the line ends of old Macs (run: tr '\r' '\n')",
    ),
  ],
)
def test_bad_lines(line, complaint):
  with pytest.raises(labels_lib.LabelError) as e:
    parse(line + b'\n')
  assert complaint in str(e.value)
  assert str(e.value).startswith('1 lines cannot be read:')
  assert 'expected one "NAME LABEL" a line' in str(e.value)
  assert len(str(e.value)) < 500


@pytest.mark.parametrize(
  ('content', 'complaint'),
  [
    (b'', 'l.txt: an empty file, no labels'),
    (b'\n \r\n\t\n', 'l.txt: an empty file, no labels'),
    (
      b'\x1f\x8b\x08\0 rest',
      'l.txt: is a gzip file, not a label file; unpack it',
    ),
    (
      bz2.compress(b'a 1\n'),
      'l.txt: is a bzip2 file, not a label file; unpack it',
    ),
    (
      bz2.compress(b'a 1\n', 1),
      'l.txt: is a bzip2 file, not a label file; unpack it',
    ),
    (
      lzma.compress(b'a 1\n'),
      'l.txt: is a xz file, not a label file; unpack it',
    ),
    (
      b'\x28\xb5\x2f\xfd rest',
      'l.txt: is a zstd file, not a label file; unpack it',
    ),
    (
      b"7z\xbc\xaf'\x1crest",
      'l.txt: is a 7-zip file, not a label file; unpack it',
    ),
    (b'Rar!\x1a\x07rest', 'l.txt: is a RAR file, not a label file; unpack it'),
    (b'PK\x03\x04rest', 'l.txt: is a zip file, not a label file; unpack it'),
    (
      'a.jpg 3\n'.encode('utf-16'),
      'l.txt: is UTF-16 text, not a label file; convert it',
    ),
    (
      'a.jpg 3\n'.encode('utf-16-le'),
      'l.txt: is UTF-16 text, not a label file; convert it',
    ),
    (
      'a.jpg 3\n'.encode('utf-16-be'),
      'l.txt: is UTF-16 text, not a label file; convert it',
    ),
    (
      '花/桜.jpg 3\n'.encode('utf-16-le'),
      'l.txt: is UTF-16 text, not a label file; convert it',
    ),
    (
      '花/桜.jpg 3\n'.encode('utf-16-be'),
      'l.txt: is UTF-16 text, not a label file; convert it',
    ),
    (
      '桜桜\t12\r\n'.encode('utf-16-le'),
      'l.txt: is UTF-16 text, not a label file; convert it',
    ),
    (
      '桜桜\t12\r\n'.encode('utf-16-be'),
      'l.txt: is UTF-16 text, not a label file; convert it',
    ),
    (
      '上.jpg 3\n'.encode('utf-16-le'),
      'l.txt: is UTF-16 text, not a label file; convert it',
    ),
    (
      '桜上.jpg 3\n'.encode('utf-16-le'),
      'l.txt: is UTF-16 text, not a label file; convert it',
    ),
    (
      '桜 3'.encode('utf-16-be'),
      'l.txt: is UTF-16 text, not a label file; convert it',
    ),
    (
      'a.jpg 3\n'.encode('utf-32'),
      'l.txt: is UTF-32 text, not a label file; convert it',
    ),
    (b'{"a.jpg": 3,\n"b.jpg": 0}', 'l.txt: is JSON; write it out as lines'),
    (b'{"a.jpg":3}', 'l.txt: is JSON; write it out as lines'),
    (b'[\n["a.jpg", 3]\n]\n', 'l.txt: is JSON; write it out as lines'),
    (b'\xef\xbb\xbf[["a.jpg", 3]]', 'l.txt: is JSON; write it out as lines'),
    (b'{' + b'"a.jpg": 3, ' * 9999 + b'}', 'l.txt: is JSON; write it out as'),
    (b'[' + b'["a.jpg",3],' * 9999 + b']', 'l.txt: is JSON; write it out as'),
    (b'\n \r\n  {"a.jpg": 3}', 'l.txt: is JSON; write it out as lines'),
    (b'\n' + b'{' + b'"a.jpg": 3, ' * 9999, 'l.txt: is JSON; write it out as'),
    (b'a.jpg 3\rb.jpg 1\r', 'l.txt: has the line ends of old Macs (run: tr '),
    (
      b'a.jpg 3\r' * 9999,
      r"l.txt: has the line ends of old Macs (run: tr '\r'",
    ),
    (b'\xff\xd8\xff\xe0rest', 'l.txt: is a JPEG image, not a label file'),
    (b'\x89PNG\r\n\x1a\nrest', 'l.txt: is a PNG image, not a label file'),
    (b'a.jpg\0\0\0\0 3\n', 'l.txt: is not text, so not a label file'),
    (
      b'a.jpg 3\n' + b'x' * 70_000,
      '1 lines cannot be read:\n  l.txt:2: a line without end',
    ),
  ],
)
def test_files_that_are_no_label_files(content, complaint):
  with pytest.raises(labels_lib.LabelError) as e:
    parse(content)
  assert str(e.value).startswith(complaint)


def test_a_control_character_later_on_is_a_bad_line():
  with pytest.raises(
    labels_lib.LabelError, match=r'l\.txt:2: control character'
  ):
    parse(b'a.jpg 1\nb\0.jpg 2\n')


def test_all_bad_lines_are_counted_and_ten_named():
  content = b'good.jpg 1\n' + b''.join(b'bad%d\n' % i for i in range(1234))
  with pytest.raises(labels_lib.LabelError) as e:
    parse(content)
  lines = str(e.value).splitlines()
  assert lines[0] == '1,234 lines cannot be read:'
  assert lines[1] == "  l.txt:2: no label: found 'bad0' (is the file cut?)"
  assert lines[10] == "  l.txt:11: no label: found 'bad9' (is the file cut?)"
  assert lines[11] == '  … and 1,224 more'
  assert len(lines) == 13


@pytest.mark.parametrize(
  'second', ['a/b.jpg', './a/b.jpg', 'a//b.jpg', 'a/./b.jpg']
)
def test_names_that_stand_twice(second):
  with pytest.raises(labels_lib.LabelError) as e:
    parse(f'a/b.jpg 1\nc.jpg 2\n{second} 1\n'.encode())
  assert "l.txt:3: 'a/b.jpg', as on line 1" in str(e.value)


def test_names_that_differ_in_case_give_a_warning():
  with pytest.warns(UserWarning, match='differ from another one') as found:
    parse(b'\na.jpg 1\nb.jpg 1\nA.jpg 2\n')
  assert [str(w.message) for w in found] == [
    '1 names differ from another one only in upper and lower case:\n'
    "  l.txt:4: 'A.jpg', 'a.jpg' on line 2\n"
    'On a disk that does not tell these apart they are one file.'
  ]
  many = ''.join(f'{x}{i} 1\n' for x in 'aA' for i in range(500))
  with pytest.warns(UserWarning, match='500 names differ from') as found:
    parse(many.encode())
  lines = str(found[0].message).splitlines()
  assert lines[10] == "  l.txt:510: 'A9', 'a9' on line 10"
  assert lines[11] == '  … and 490 more'
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    parse(b'a.jpg 1\nB.jpg 2\nc.jpg 2\nb.png 1\n')


def test_every_name_that_stands_again_is_found():
  """As a dict of all names would find it."""
  rng = random.Random(0)
  for size in (2, 5, 300):
    names = [rng.choice('abcdefgh') * rng.randint(1, 40) for _ in range(size)]
    first = {}
    expected = [
      f"  l.txt:{i}: '{name}', as on line {first[name]}"
      for i, name in enumerate(names, 1)
      if first.setdefault(name, i) != i
    ]
    if not expected:
      continue
    with pytest.raises(labels_lib.LabelError) as e:
      parse('\n'.join(f'{name} 1' for name in names).encode())
    lines = str(e.value).splitlines()
    assert lines[0] == f'{len(expected)} names occur twice:'
    assert lines[1 : 1 + min(10, len(expected))] == expected[:10]


def test_a_line_of_an_unsorted_file_costs_little_more_than_its_name():
  number = 100_000
  content = ''.join(f'{i * 7919 % number:05d} 1\n' for i in range(number))
  tracemalloc.start()
  try:
    parse(content.encode())
    _, peak = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  # A name of five letters takes 54 bytes, its place in the lists 16.
  assert peak < number * 130


def test_long_names_are_shortened_in_messages():
  content = b''.join(b'%d' % i + b'\x1b' * 4000 + b' 1\n' for i in range(20))
  with pytest.raises(labels_lib.LabelError) as e:
    parse(content)
  message = str(e.value)
  assert '…' in message
  assert len(message) < 2000
  twice = b'a' * 4000 + b' 1\n'
  with pytest.raises(labels_lib.LabelError) as e:
    parse(twice * 20)
  assert len(str(e.value)) < 2000
  with pytest.raises(labels_lib.LabelError) as e:
    parse(twice).check_range(1)
  assert len(str(e.value)) < 300


def test_labels_must_be_below_the_number_of_classes():
  found = parse(b'a 3\nb 5\nc 4\nd 7\n')
  found.check_range(8)
  with pytest.raises(labels_lib.LabelError) as e:
    found.check_range(5)
  assert str(e.value).splitlines()[:3] == [
    '2 labels are out of range 0..4:',
    "  l.txt:2: 'b' has label 5",
    "  l.txt:4: 'd' has label 7",
  ]


def test_the_largest_label():
  found = parse(f'a {LARGEST}\n'.encode())
  assert found.num_classes() == LARGEST + 1


@pytest.mark.parametrize(
  ('content', 'cut'), [(b'a 1\nb 2', True), (b'a 1\nb 2\n', False)]
)
def test_a_last_line_without_end_is_noted(content, cut):
  assert parse(content).cut_short == cut
  assert not parse(content).part(0, 1).cut_short


def test_part():
  found = parse(b'a 1\nb 2\nc 3\n')
  assert list(found.part(1, 3).names) == ['b', 'c']
  assert list(found.part(1, 3).labels) == [2, 3]
  assert len(found.part(0, 9)) == 3


def test_what_is_not_a_file_is_not_read(tmp_path):
  with pytest.raises(FileNotFoundError):
    labels_lib.read_labels(str(tmp_path / 'none.txt'))
  with pytest.raises(OSError, match='a folder, expected a file'):
    labels_lib.read_labels(str(tmp_path))


def test_a_disk_that_fails_is_told_with_the_path(monkeypatch):
  class Failing(io.BytesIO):
    def readline(self, size=-1):
      raise OSError(errno.EIO, 'Input/output error')

  monkeypatch.setattr(storage, 'open_file', lambda path: Failing())
  with pytest.raises(OSError, match=r"Input/output error: 'l\.txt'"):
    labels_lib.read_labels('l.txt')


# --- Kaggle ---

WNIDS = ('n01440764', 'n01443537')


def parse_kaggle(content: bytes) -> labels_lib.Labels:
  file = io.BytesIO(b'ImageId,PredictionString\n' + content)
  return labels_lib.parse_labels(file, path='k.csv', class_names=WNIDS)


@pytest.mark.parametrize('end', ['\n', '\r\n'])
def test_kaggle(end):
  lines = [
    'ILSVRC2012_val_00000002,n01443537 1 2 3 4 n01440764 5 6 7 8 ',
    'ILSVRC2012_val_00000001,n01440764 1 2 3 4',
  ]
  found = parse_kaggle(end.join(lines).encode())
  assert found.names == [
    'ILSVRC2012_val_00000002.JPEG',
    'ILSVRC2012_val_00000001.JPEG',
  ]
  assert list(found.labels) == [1, 0]


@pytest.mark.parametrize(
  ('line', 'complaint'),
  [
    (b'x', "k.csv:2: 1 columns: found 'x'"),
    (b'x,n99999999 1', "k.csv:2: 'x.JPEG' has label 'n99999999'"),
    (b',n01440764 1 2 3 4', "k.csv:2: found ',n01440764 1 2 3 4', expected"),
    (b'../x,n01440764 1', '".." in name'),
    (b'/x,n01440764 1', 'absolute name'),
    (b'x,n014', "k.csv:2: found 'x,n014', expected"),
  ],
)
def test_bad_kaggle_lines(line, complaint):
  with pytest.raises(labels_lib.LabelError) as e:
    parse_kaggle(line)
  assert complaint in str(e.value)
