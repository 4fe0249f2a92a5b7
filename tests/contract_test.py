"""The contract for bad input, as one table: build from it, see what is said.

Every row is a build of three pictures, `a.jpg`, `b.jpg` and `c.jpg`, of which
something is made different. Either the dataset appears, with the right labels;
or it is refused in the words of the row, and nothing is left behind.

Of `errors`, and what all readers of input share.
"""

import bz2
import dataclasses
import itertools
import json
import lzma
import os
import pathlib
import signal
import tarfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import making
import pytest
from making import frame, member, scan

from imagenet_val_tfrec import imagenet_val_tfrec_dataset_builder
from imagenet_val_tfrec.core import errors

FILES = {
  'a.jpg': making.picture('tiny'),
  'b.jpg': making.picture('plain'),
  'c.jpg': making.picture('gray'),
}
LABELS = b'b.jpg 2\na.jpg 0\nc.jpg 1\n'
EXPECTED = [2, 0, 1]
BOUND = 20  # Seconds, for any row.
DUMMY_LABELS = (making.DUMMY / 'val.txt').read_bytes()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """A row of the contract.

  Attributes:
    name: What it is about.
    labels: The label file; None if folders tell the classes.
    label_file: Its name.
    splits: A label file for each split, in place of one.
    files: What is different among the files, in a folder or a tar.
    tar: A whole tar instead of files.
    change: Called with the folder of images when all else is made.
    images: Another place of the images.
    config: More of the config.
    says: What the error says; '' if the dataset is to appear.
    warns: What the one warning says; '' if there is to be none.
    expected: Labels of the dataset.
  """

  name: str
  labels: bytes | None = LABELS
  label_file: str = 'labels.txt'
  splits: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
  files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
  tar: bytes = b''
  change: Callable[[pathlib.Path], object] | None = None
  images: pathlib.Path | None = None
  config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  says: str = ''
  warns: str = ''
  expected: list[Any] = dataclasses.field(default_factory=lambda: EXPECTED)


def label_row(name: str, labels: str | bytes, says: str = '', **kwargs) -> Row:
  if isinstance(labels, str):
    labels = labels.encode()
  return Row(name=f'labels: {name}', labels=labels, says=says, **kwargs)


def lists_row(name: str, lists: list[Any], says: str = '', **kwargs) -> Row:
  """Returns a row of a label file with a list of labels for each image."""
  lines = [
    json.dumps({'file_name': file, 'label': labels}) + '\n'
    for file, labels in zip(('b.jpg', 'a.jpg', 'c.jpg'), lists, strict=True)
  ]
  return Row(
    name=f'lists: {name}',
    labels=''.join(lines).encode(),
    label_file='labels.jsonl',
    says=says,
    expected=lists,
    **kwargs,
  )


def image_row(name: str, image: bytes, says: str = '', **kwargs) -> Row:
  """Returns a row in which `b.jpg` is another file."""
  if says:
    says = f"1 images cannot be used in IMAGES:\n  LABELS:1: 'b.jpg': {says}"
  return Row(name=f'image: {name}', files={'b.jpg': image}, says=says, **kwargs)


def change_row(name: str, change, says: str = '', **kwargs) -> Row:
  return Row(name=f'folder: {name}', change=change, says=says, **kwargs)


def splits_row(name: str, train: bytes, test: bytes, says='', **kwargs) -> Row:
  splits = {'train': train, 'test': test}
  return Row(name=f'splits: {name}', splits=splits, says=says, **kwargs)


def layout_row(name: str, says: str = '', **kwargs) -> Row:
  return Row(name=f'layout: {name}', labels=None, says=says, **kwargs)


def tar_row(name: str, tar: bytes, says: str = '', **kwargs) -> Row:
  return Row(name=f'tar: {name}', tar=tar, says=says, **kwargs)


ALL_WRONG = b''.join(
  name + b' %d\n' % (int(label) + 1)
  for name, label in (line.split() for line in DUMMY_LABELS.splitlines())
)
NOT_TEXT = 'lines cannot be read:\n  LABELS:1: '

LABEL_ROWS = [
  label_row('plain', LABELS),
  label_row('a byte order mark', b'\xef\xbb\xbf' + LABELS),
  label_row('CRLF', LABELS.replace(b'\n', b'\r\n')),
  label_row('tabs', LABELS.replace(b' ', b'\t\t')),
  label_row('blank lines', LABELS.replace(b'\n', b'\n \n')),
  label_row('no final newline', LABELS.strip()),
  label_row(
    'Unicode names and subfolders',
    'ä/桜.jpg 2\na.jpg 0\nc.jpg 1',
    files={'ä/桜.jpg': FILES['a.jpg']},
    warns="1 images are left out, as no line of LABELS names them: 'b.jpg'",
  ),
  label_row('a missing column', 'a.jpg\n', f'1 {NOT_TEXT}no label: found'),
  label_row(
    'an extra column',
    'a.jpg 1 2\n',
    "1 labelled images are missing from IMAGES:\n  LABELS:1: 'a.jpg 1'",
  ),
  label_row(
    'spaces in a name',
    LABELS + b'my cat.jpg 1\n',
    files={'my cat.jpg': making.picture('tiny')},
    expected=[2, 0, 1, 1],
  ),
  label_row('a negative label', 'a.jpg -1\n', "label of 'a.jpg' is '-1', exp"),
  label_row('words for labels', 'b.jpg rose\na.jpg ash\nc.jpg elm\n'),
  label_row(
    'a word that is no class',
    'a.jpg cat\n',
    "1 labels are not among the class names:\n  LABELS:1: 'a.jpg' has label",
    config={'class_names': ['ash', 'rose']},
  ),
  label_row(
    'a word among numbers', LABELS + b'd cat\n', "is 'cat', expected d"
  ),
  label_row('other digits', 'a.jpg ١\n', "is '١', expected digits 0-9 only"),
  label_row('underscores', 'a.jpg 1_0\n', "is '1_0', expected digits 0-9 onl"),
  label_row('a huge label', 'a.jpg 99999999999\n', 'is out of range: '),
  label_row(
    'a label of no class',
    LABELS,
    "1 labels are out of range 0..1:\n  LABELS:1: 'b.jpg' has label 2",
    config={'num_classes': 2},
  ),
  label_row(
    'a name twice', 'a.jpg 1\nb.jpg 1\na.jpg 1\n', "LABELS:3: 'a.jpg', as on l"
  ),
  label_row(
    'a name twice, ./', 'a.jpg 1\n./a.jpg 1\n', "LABELS:2: 'a.jpg', as"
  ),
  label_row(
    'a name twice, //', 'x/a 1\nx//a 1\n', "LABELS:2: 'x/a', as on lin"
  ),
  label_row(
    'a name of 4,096 bytes',
    f'{"桜" * 1365}a 2\na.jpg 0\nc.jpg 1\n',
    "1 labelled images are missing from IMAGES:\n  LABELS:1: '桜桜",
  ),
  label_row(
    'names of 4,097 bytes',
    f'{"x" * 4097} 2\n' * 5,
    "5 lines cannot be read:\n  LABELS:1: a name of more than 4,096 bytes: 'x",
  ),
  label_row(
    'names of ESC', b'\x1b' * 4000 + b' 1\n', 'control character in na'
  ),
  label_row('an absolute name', '/a.jpg 1\n', "absolute name '/a.jpg', expect"),
  label_row('..', 'x/../a.jpg 1\n', """".." in name 'x/../a.jpg'"""),
  label_row('NUL', b'a.jpg 1\n\0b.jpg 1\n', r"character in name '\x00b.jpg'"),
  label_row('ESC', b'\x1b[2Ja.jpg 1\n', r"control character in name '\x1b[2Ja"),
  label_row('empty', b'', 'LABELS: an empty file, no labels; expected one "NA'),
  label_row('bzip2', bz2.compress(LABELS), 'unpack it first: bzip2 -dc FILE'),
  label_row('xz', lzma.compress(LABELS), 'unpack it first: xz -dc FILE'),
  label_row('zstd', b'\x28\xb5\x2f\xfd', 'unpack it first: zstd -dc FILE'),
  label_row('gzip', b'\x1f\x8b\x08\0', 'LABELS: is a gzip file, not a label'),
  label_row('UTF-16', LABELS.decode().encode('utf-16'), 'UTF-16 text, not a'),
  label_row(
    'UTF-16, bare', LABELS.decode().encode('utf-16-be'), 'is UTF-16 te'
  ),
  label_row(
    'UTF-16, bare, not Latin',
    '桜桜.jpg 1\n'.encode('utf-16-le'),
    'is UTF-16 te',
  ),
  label_row('Latin-1', 'ä.jpg 1\n'.encode('latin-1'), 'byte 0 is not UTF-8 te'),
  label_row('JSON', '{"a.jpg": 1}', 'LABELS: is JSON; write it out as lines: '),
  label_row(
    'JSON on one line',
    '[' + '["a.jpg", 1], ' * 9999 + ']',
    'LABELS: is JSON; write it out as lines: ',
  ),
  label_row('JSON, later', '\n\n{"a.jpg": 1}', 'LABELS: is JSON; write it out'),
  label_row(
    'CR alone', LABELS.replace(b'\n', b'\r') * 9999, 'line ends of old Macs'
  ),
  label_row('no line ends', b'x' * 99_999, 'LABELS:1: a line without end'),
  label_row('swapped', '1 a.jpg\n', "columns are swapped: found '1 a.jpg'"),
  label_row(
    'devkit ids', '490\n361\n', "Bare ids, as in the ILSVRC devkit's g"
  ),
  label_row('an image', FILES['a.jpg'], 'is a JPEG image, not a label file'),
  label_row('a tar', making.tar_bytes(FILES), 'is not text, so not a label fi'),
  label_row(
    'cut in its last number',
    DUMMY_LABELS[:-2],
    'Cause: the file is cut within its last number.',
    images=making.DUMMY / 'val_images',
  ),
  label_row(
    'cut in its last name',
    DUMMY_LABELS[:-12],
    'no label: found',
    images=making.DUMMY / 'val_images',
  ),
  label_row(
    'background class',
    ALL_WRONG,
    'Cause: the labels are 1..1000, as for models with a background class 0',
    images=making.DUMMY / 'ILSVRC2012_img_val.tar',
  ),
  label_row(
    'wrong on purpose',
    ALL_WRONG,
    images=making.DUMMY / 'ILSVRC2012_img_val.tar',
    config={'check_labels': False},
    expected=[int(line.split()[1]) for line in ALL_WRONG.splitlines()],
  ),
  label_row(
    'names that differ in case',
    'b.jpg 2\na.jpg 0\nc.jpg 1\nB.JPG 1\n',
    files={'B.JPG': FILES['a.jpg']},
    expected=[2, 0, 1, 1],
    warns='1 names differ from another one only in upper and lower case:\n'
    "  LABELS:4: 'B.JPG', 'b.jpg' on line 1\n",
  ),
]

LISTS_ROWS = [
  lists_row('of numbers', [[1, 4], [], [0]]),
  lists_row('of one', [[1], [4], [0]]),
  lists_row('for all classes', [[1], [4], [0]], config={'num_classes': 9}),
  lists_row('all empty', [[], [], []], 'LABELS: all lists of labels are empty'),
  lists_row(
    'a label of no class',
    [[1, 4], [], [0]],
    "1 labels are out of range 0..3:\n  LABELS:1: 'b.jpg' has label 4\n",
    config={'num_classes': 4},
  ),
  lists_row('a huge label', [[0], [99999999999], [0]], 'is out of range: '),
  lists_row('a negative label', [[0], [-1], [0]], "'a.jpg' is '-1', expected"),
  lists_row('no whole number', [[0], [1.5], [0]], 'LABELS:2: found '),
  lists_row(
    'a label twice',
    [[0], [0], [1, 4, 1]],
    "LABELS:3: labels of 'c.jpg' name a class twice: '1, 4, 1'",
  ),
  lists_row(
    'a list among numbers',
    [0, [0, 1], 1],
    "1 lines cannot be read:\n  LABELS:2: label of 'a.jpg' is a list, unlike "
    'those before it; write lists on all lines, such as [3] for one label\n',
  ),
  lists_row(
    'a number among lists', [[], 0, [1]], "label of 'a.jpg' is no list, unlike"
  ),
  lists_row(
    'a word among numbers', [[], [0], ['ash']], "'c.jpg' is 'ash', expected di"
  ),
  lists_row(
    'a word that is no class',
    [[], ['ash', 'oak'], ['elm']],
    "1 labels are not among the class names:\n  LABELS:2: 'a.jpg' has label "
    "'oak'\nThey are 'ash', 'elm'.",
    config={'class_names': ['ash', 'elm']},
  ),
  label_row(
    'several in a column', 'a.jpg\t1 4\n', 'several labels need a .jsonl file'
  ),
]

PLAIN = FILES['b.jpg']
CMYK = making.picture('cmyk')
ADOBE = CMYK.index(b'\xff\xee')
ADOBE_END = ADOBE + 2 + int.from_bytes(CMYK[ADOBE + 2 : ADOBE + 4], 'big')
HUGE = making.jpeg(frame(height=10_001, width=10_000), scan())
MIDDLE = len(PLAIN) // 2
HOLE = PLAIN[:MIDDLE] + bytes(500) + PLAIN[MIDDLE + 500 :]
CRLF = PLAIN.replace(b'\n', b'\r\n')
POINTER = (
  b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n'
)

IMAGE_ROWS = [
  *(image_row(kind, making.picture(kind)) for kind in making.KINDS),
  image_row('arithmetic', making.jpeg(frame(marker=0xC9), scan())),
  image_row('bytes behind the end', PLAIN + b'something more'),
  image_row('PNG', b'\x89PNG\r\n\x1a\n', 'a PNG that is cut'),
  image_row('GIF', b'GIF89a....', 'not a JPEG or PNG but a GIF image'),
  image_row(
    'WebP', b'RIFF\0\0\0\0WEBPVP8 ', 'not a JPEG or PNG but a WebP image'
  ),
  image_row('BMP', b'BM' + bytes(12), 'not a JPEG or PNG but a BMP image'),
  image_row(
    'HTML', b'<html>404</html>', 'not a JPEG or PNG but an HTML or XML page'
  ),
  image_row(
    'Git LFS', POINTER, 'not a JPEG or PNG but a Git LFS pointer (fetch'
  ),
  image_row('empty', b'', 'not a JPEG or PNG but an empty file'),
  image_row('zeros', bytes(999), 'not a JPEG or PNG but zero bytes only'),
  image_row('no header', making.jpeg(scan()), 'a JPEG without an image header'),
  image_row('a cut header', PLAIN[:200], 'a JPEG whose header is cut at byte'),
  image_row(
    'cut', PLAIN[:-2], 'a JPEG that is cut: its end-of-image marker is'
  ),
  image_row(
    '0×5', making.jpeg(frame(0), scan()), 'a JPEG of 0×5 pixels, expec'
  ),
  image_row(
    '3×0', making.jpeg(frame(3, 0), scan()), 'a JPEG of 3×0 pixels, ex'
  ),
  image_row(
    '12 bits',
    making.jpeg(frame(precision=12), scan()),
    'a JPEG with 12 bits a sample, expected 8',
  ),
  image_row(
    'lossless',
    making.jpeg(frame(marker=0xC3), scan()),
    'a lossless or hierarchical JPEG, which is not supported',
  ),
  image_row(
    '2 components',
    making.jpeg(frame(chans=2), scan(2)),
    'a JPEG with 2 components, expected 1, 3 or 4',
  ),
  image_row('too large', HUGE, 'a JPEG that promises 10001×10000 pixels, more'),
  image_row('a higher limit', HUGE, config={'max_pixels': 200_000_000}),
  image_row(
    'a lower limit',
    PLAIN,
    'a JPEG that promises 240×240 pixels, more than the limit of 50,000',
    config={'max_pixels': 50_000},
  ),
  image_row(
    'CMYK of unknown kind',
    CMYK[:ADOBE] + CMYK[ADOBE_END:],
    "a CMYK JPEG without Adobe's marker",
  ),
  image_row('LF as CRLF, unchecked', CRLF),
  image_row(
    'LF as CRLF, checked',
    CRLF,
    'a JPEG that does not decode cleanly: Corrupt JPEG data: 4 extraneous byte',
    config={'decode_check': True},
  ),
  image_row(
    'a table of number 4',
    making.jpeg(making.segment(0xDB, b'\4' + bytes(64)), frame(), scan()),
    'a JPEG whose header has a broken table at byte 2 of ',
  ),
  image_row('a hole, unchecked', HOLE),
  image_row(
    'a hole, checked',
    HOLE,
    'a JPEG that does not decode cleanly: ',
    config={'decode_check': True},
  ),
  *(
    image_row(
      f'{kind}, checked', making.picture(kind), config={'decode_check': True}
    )
    for kind in ('cmyk', 'progressive', 'gray')
  ),
]


def instead_of_b(make: Callable[[pathlib.Path], object]):
  """Returns a change that puts something else in the place of `b.jpg`."""

  def change(folder: pathlib.Path) -> None:
    (folder / 'b.jpg').unlink()
    make(folder / 'b.jpg')

  return change


def very_large(path: pathlib.Path) -> None:
  path.write_bytes(PLAIN)
  os.truncate(path, 1 << 40)


def link_to_a_folder_above(folder: pathlib.Path) -> None:
  (folder / 'up').symlink_to('/')


def link_to_a_folder_outside(folder: pathlib.Path) -> None:
  (folder / 'b.jpg').unlink()
  making.write_folder(folder.parent / 'outside', {'b.jpg': PLAIN})
  (folder / 'x').symlink_to('../outside')


def far_time(folder: pathlib.Path) -> None:
  os.utime(folder / 'b.jpg', ns=(10**19, 10**19))


def link_outside(path: pathlib.Path) -> None:
  outside = path.parent.parent / 'outside.jpg'
  outside.write_bytes(PLAIN)
  path.symlink_to(outside)


FOLDER_ROWS = [
  change_row(
    'missing',
    lambda folder: (folder / 'b.jpg').unlink(),
    "1 labelled images are missing from IMAGES:\n  LABELS:1: 'b.jpg'",
  ),
  change_row('FIFO', instead_of_b(os.mkfifo), "LABELS:1: 'b.jpg' is a FIFO, e"),
  change_row(
    'device',
    instead_of_b(lambda path: path.symlink_to('/dev/zero')),
    "LABELS:1: 'b.jpg' is a device, expected a file",
    warns='1 links lead out of the folder',
  ),
  change_row(
    'a folder of that name',
    instead_of_b(os.mkdir),
    "1 labelled images are missing from IMAGES:\n  LABELS:1: 'b.jpg'",
  ),
  change_row(
    'a broken link',
    instead_of_b(lambda path: path.symlink_to('nowhere')),
    "LABELS:1: 'b.jpg' is a broken link, expected a file",
  ),
  change_row(
    'a terabyte',
    instead_of_b(very_large),
    "'b.jpg' is a file of 1,099,511,627,776 bytes, expected at most 100,000,0",
  ),
  change_row(
    'twice',
    lambda folder: (
      making.write_folder(folder, {'x/b.jpg': PLAIN, 'y/b.jpg': PLAIN})
      and (folder / 'b.jpg').unlink()
    ),
    "LABELS:1: 'b.jpg' is there twice, as 'x/b.jpg' and 'y/b.jpg'",
  ),
  change_row(
    'a link inside',
    instead_of_b(lambda path: path.symlink_to('a.jpg')),
  ),
  change_row(
    'a link outside',
    instead_of_b(link_outside),
    warns="1 links lead out of the folder and are followed: 'b.jpg'",
  ),
  change_row(
    'a link to a folder outside',
    link_to_a_folder_outside,
    warns="1 links lead out of the folder and are followed: 'x'",
  ),
  change_row(
    'a link to the whole disk',
    link_to_a_folder_above,
    warns="IMAGES: Not looked into: 'up/', a link to a folder that holds this",
  ),
  change_row('a time beyond 64 bits', far_time),
  change_row(
    'long names',
    lambda folder: making.write_folder(
      folder, {f'{i}{chr(27) * 200}': b'' for i in range(9)}
    ),
    warns='9 images are left out, as no line of LABELS names them: ',
  ),
  change_row(
    'more than is labelled',
    lambda folder: making.write_folder(
      folder,
      {'d.jpg': PLAIN, 'x/e.jpg': PLAIN, '._a.jpg': b'', 'note.txt': b''},
    ),
    warns="2 images are left out, as no line of LABELS names them: 'd.jpg', "
    "'x/e.jpg'; 1 files of macOS (._*) are ignored",
  ),
]

TAR = making.tar_bytes(FILES)


def tar_with(*members: tuple[Any, bytes], without: str = '') -> bytes:
  """Returns a tar of the files and more members."""
  files = [(n, c) for n, c in FILES.items() if n != without]
  return making.tar_bytes([*files, *members], format=tarfile.PAX_FORMAT)


TAR_ROWS = [
  tar_row('plain', TAR),
  tar_row(
    './ and a common folder',
    making.tar_bytes({f'./val/{name}': c for name, c in FILES.items()}),
  ),
  tar_row('cut', TAR[:1000], 'the tar is cut: a member promises '),
  tar_row(
    'not finished',
    TAR.rstrip(b'\0'),
    warns='IMAGES: the tar is not finished: the zeros that end a tar are mi',
  ),
  tar_row(
    'not finished, and images are missing',
    making.tar_bytes({'a.jpg': FILES['a.jpg']}).rstrip(b'\0'),
    '2 labelled images are missing from IMAGES:',
    warns='IMAGES: the tar is not finished: ',
  ),
  tar_row('gzip', b'\x1f\x8b' + TAR, 'gzip -dc IMAGES > NEW'),
  tar_row(
    'missing',
    making.tar_bytes({'a.jpg': FILES['a.jpg']}),
    "2 labelled images are missing from IMAGES:\n  LABELS:1: 'b.jpg'\n"
    "  LABELS:3: 'c.jpg'\nIt has no images without a label.",
  ),
  tar_row('twice', tar_with(('b.jpg', b'')), "'b.jpg' is there twice, as 'b.j"),
  tar_row(
    'link',
    tar_with(
      (member('b.jpg', type=tarfile.SYMTYPE, linkname='/etc/passwd'), b''),
      without='b.jpg',
    ),
    "LABELS:1: 'b.jpg' is a symbolic link, expected a file",
  ),
  tar_row(
    'absolute, besides',
    tar_with(('/b.jpg', b''), ('../c.jpg', b'')),
    warns="2 images are left out, as no line of LABELS names them: '/b.jpg', "
    "'../c.jpg'",
  ),
  tar_row(
    'two in one',
    making.tar_bytes({'a.jpg': FILES['a.jpg']}) + TAR,
    'Not looked into: data behind its end (archives put together? Unpack all '
    'of them: tar --ignore-zeros -xf IMAGES).',
  ),
  tar_row(
    'something behind its end',
    TAR + b'something',
    warns='IMAGES: Not looked into: data behind its end (archives put toge',
  ),
  tar_row(
    'long names',
    tar_with(*((f'{i}{chr(27) * 99_999}', b'') for i in range(9))),
    warns='9 images are left out, as no line of LABELS names them: ',
  ),
  tar_row(
    'a name as a long label, and longer',
    making.tar_bytes([(f'{"x" * 5000}/b.jpg', PLAIN)], tarfile.PAX_FORMAT),
    '3 labelled images are missing from IMAGES:',
  ),
  tar_row(
    'more than is labelled',
    tar_with(*((f'{i}.jpg', PLAIN) for i in range(5)), ('x/._b.jpg', b'')),
    warns="5 images are left out, as no line of LABELS names them: '0.jpg', "
    "'1.jpg', '2.jpg', …; 1 files of macOS (._*) are ignored",
  ),
]

TRAIN, TEST = b'b.jpg 2\na.jpg 0\n', b'c.jpg 1\n'
TWICE = (
  "1 images of split 'test' are in 'train', too:\n  HERE/test:1: 'd.jpg', "
)

SPLITS_ROWS = [
  splits_row('of one folder', TRAIN, TEST),
  splits_row(
    'shuffled',
    TRAIN,
    TEST,
    config={'shuffle': ['test', 'train'], 'refuse_duplicates': True},
    expected=[0, 2, 1],
  ),
  splits_row(
    'the first of each, shuffled',
    TRAIN,
    TEST,
    config={'num_images': 1, 'shuffle': 'train'},
    expected=[0, 1],
  ),
  splits_row(
    'the first of each',
    TRAIN,
    TEST,
    config={'num_images': 1},
    expected=[2, 1],
  ),
  splits_row(
    'a label of no class',
    TRAIN,
    b'c.jpg 2\n',
    "split 'train': 1 labels are out of range 0..1:\n  HERE/train:1: 'b.jpg'",
    config={'num_classes': 2},
  ),
  splits_row(
    'a missing image',
    TRAIN,
    b'c.jpg 1\nd.jpg 1\n',
    "split 'test': 1 labelled images are missing from IMAGES:\n  HERE/test:2:",
  ),
  splits_row(
    'a label file that cannot be read',
    TRAIN,
    b'c.jpg\n',
    "split 'test': 1 lines cannot be read:\n  HERE/test:1: no label",
  ),
  splits_row(
    'bad images in both',
    TRAIN,
    TEST,
    "2 images cannot be used in IMAGES:\n  HERE/train:2: 'a.jpg': not a",
    files={'a.jpg': b'GIF89a....', 'c.jpg': b''},
  ),
  splits_row(
    'an image in both',
    TRAIN,
    b'd.jpg 1\n',
    files={'d.jpg': FILES['a.jpg']},
    warns=f"{TWICE}as HERE/train:2: 'a.jpg'\nTo make that an error, say refuse",
  ),
  splits_row(
    'an image in both, refused',
    TRAIN,
    b'd.jpg 1\n',
    f"{TWICE}as HERE/train:2: 'a.jpg'\nKeep each in one split.",
    files={'d.jpg': FILES['a.jpg']},
    config={'refuse_duplicates': True},
  ),
  splits_row(
    'an image twice in one',
    b'a.jpg 2\nd.jpg 0\n',
    TEST,
    files={'d.jpg': FILES['a.jpg']},
    config={'refuse_duplicates': True},
  ),
  splits_row(
    'shuffled, but no such split',
    TRAIN,
    TEST,
    "shuffle is 'validation', expected some of the splits 'train', 'test'",
    config={'shuffle': 'validation'},
  ),
]

# Beside those of `inputs/layouts_test.py`.
LAYOUT_ROWS = [
  layout_row(
    'classes that are not among the names',
    "IMAGES: 'rose' is none of the class names, 'ash', 'elm'",
    files={'rose/x.jpg': PLAIN},
    config={'class_names': ['ash', 'elm']},
  ),
  layout_row(
    'another file in a class',
    "1 images cannot be used in IMAGES:\n  IMAGES: 'rose/x.png': a PNG that ",
    files={'ash/x.jpg': PLAIN, 'rose/x.png': b'\x89PNG\r\n\x1a\n'},
    warns='3 images are left out, as no line of IMAGES names them: ',
  ),
  layout_row(
    'a FIFO in a class',
    "IMAGES: 'rose/x.jpg' is a FIFO, expected a file",
    files={'rose/y.jpg': PLAIN},
    change=lambda folder: os.mkfifo(folder / 'rose/x.jpg'),
  ),
  layout_row(
    'a broken link in a class',
    "IMAGES: 'rose/x.jpg' is a broken link, expected a file",
    files={'rose/y.jpg': PLAIN},
    change=lambda folder: (folder / 'rose/x.jpg').symlink_to('nowhere'),
  ),
  layout_row(
    'a class tar that is none',
    'IMAGES:n01440764.tar',
    tar=making.tar_bytes({'n01440764.tar': PLAIN}),
  ),
]


@pytest.fixture(autouse=True)
def _bound_of_time() -> Iterator[None]:
  """Fails what hangs: whatever the input, a row takes less than that."""

  def fail(*_: object) -> None:
    pytest.fail(f'not done within {BOUND} seconds')

  before = signal.signal(signal.SIGALRM, fail)
  signal.setitimer(signal.ITIMER_REAL, BOUND)
  try:
    yield
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def params(rows: list[Row], *, as_tar: bool = False):
  return [
    pytest.param(row, as_tar, id=row.name + ' (tar)' * as_tar) for row in rows
  ]


@pytest.mark.parametrize(
  ('row', 'as_tar'),
  [
    *params(LABEL_ROWS),
    *params(LISTS_ROWS),
    *params(IMAGE_ROWS),
    *params(IMAGE_ROWS, as_tar=True),
    *params(FOLDER_ROWS),
    *params(TAR_ROWS),
    *params(SPLITS_ROWS),
    *params(LAYOUT_ROWS),
  ],
)
def test_contract(tmp_path, row, as_tar):
  images = row.images or tmp_path / 'images'
  label_file = tmp_path / row.label_file
  label_file.write_bytes(row.labels or b'')
  files = {**FILES, **row.files}
  if row.tar:
    images.write_bytes(row.tar)
  elif as_tar:
    making.write_tar(images, files)
  elif not row.images:
    making.write_folder(images, files)
  if row.change:
    row.change(images)

  sources = {'label_file': label_file} if row.labels is not None else {}
  for split, labels in row.splits.items():
    (tmp_path / split).write_bytes(labels)
    sources = {'splits': {name: tmp_path / name for name in row.splits}}

  def build():
    return making.build(
      tmp_path / 'data', image_dir=images, **sources, **row.config
    )

  def told(text: str) -> str:
    text = text.replace('IMAGES', str(images)).replace('HERE', str(tmp_path))
    return text.replace('LABELS', str(label_file))

  with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter('always', UserWarning)
    if row.says:
      with pytest.raises(errors.InputError) as e:
        build()
      check_message(str(e.value), told(row.says))
      assert making.left_behind(tmp_path / 'data') == []
    else:
      splits = [*row.splits] or ['validation']
      builder = build()
      labels = [making.labels_in(builder, split) for split in splits]
      assert list(itertools.chain(*labels)) == row.expected
  ours = {str(w.message) for w in caught if w.category is UserWarning}
  assert len(ours) == (1 if row.warns else 0), ours
  assert all(len(message) < 2000 for message in ours)
  assert told(row.warns) in ''.join(ours)


def check_message(message: str, expected: str) -> None:
  assert expected in message
  assert len(message) < 2000
  assert message.replace('\n', '').isprintable()


# --- all offenders of one run, and what happens while it runs ---


@pytest.mark.parametrize('as_tar', [False, True])
@pytest.mark.parametrize('num_shards', [1, 7])
def test_one_run_finds_all_offenders(tmp_path, as_tar, num_shards):
  files = making.many(40)
  for i in range(5, 28):
    files[f'p{i:05d}.jpg'] = b'not a picture'
  write = making.write_tar if as_tar else making.write_folder
  images = write(tmp_path / 'images', files)
  (tmp_path / 'l.txt').write_text(making.label_text(files))
  with pytest.raises(
    errors.InputError, match='23 images cannot be used in'
  ) as e:
    making.build(
      tmp_path / 'data',
      image_dir=images,
      label_file=tmp_path / 'l.txt',
      options={'num_shards': num_shards},
    )
  lines = str(e.value).splitlines()
  assert [line.split(': ')[1] for line in lines[1:11]] == [
    f"'p{i:05d}.jpg'" for i in range(5, 15)
  ]
  assert lines[11] == '  … and 13 more'
  assert making.left_behind(tmp_path / 'data') == []


def cut(path: pathlib.Path) -> None:
  os.truncate(path, 1024)


def swap(path: pathlib.Path) -> None:
  """Puts another tar in the place of one, of the same size."""
  other = path.with_suffix('.other')
  other.write_bytes(path.read_bytes())
  os.utime(other, ns=(10**18, 10**18))
  other.replace(path)


@pytest.mark.parametrize('change', [os.utime, cut, swap])
def test_a_tar_that_changes_before_it_is_read(tmp_path, monkeypatch, change):
  message = build_while_a_tar_changes(tmp_path, monkeypatch, change, 'open')
  assert '3 images cannot be used in' in message
  assert "'b.jpg': " in message
  assert 'changed since the build began' in message


@pytest.mark.parametrize('change', [os.utime, swap])
def test_a_tar_that_changes_while_it_is_read(tmp_path, monkeypatch, change):
  message = build_while_a_tar_changes(tmp_path, monkeypatch, change, 'read')
  assert message == (f'{tmp_path}/x.tar changed while it was read; build again')


def build_while_a_tar_changes(tmp_path, monkeypatch, change, when: str) -> str:
  """Builds; changes the tar before it is opened to be read, or read."""
  images = making.write_tar(tmp_path / 'x.tar', FILES)
  (tmp_path / 'l.txt').write_bytes(LABELS)
  write_plans = imagenet_val_tfrec_dataset_builder.shards.write_plans
  pread = os.pread
  changed = []

  def pread_changed(*args):
    if not changed:
      changed.append(change(images))
    return pread(*args)

  def write_changed(*args, **kwargs):
    if when == 'open':
      change(images)
    else:
      monkeypatch.setattr(os, 'pread', pread_changed)
    return write_plans(*args, **kwargs)

  monkeypatch.setattr(
    imagenet_val_tfrec_dataset_builder.shards, 'write_plans', write_changed
  )
  with pytest.raises(errors.InputError) as e:
    making.build(
      tmp_path / 'data',
      image_dir=images,
      label_file=tmp_path / 'l.txt',
      options={'num_shards': 1},
    )
  assert making.left_behind(tmp_path / 'data') == []
  return str(e.value)


@pytest.mark.parametrize(
  ('change', 'says'),
  [
    (os.unlink, "'b.jpg': vanished since the build began"),
    (lambda path: path.write_bytes(b''), "'b.jpg': changed since the build"),
    (instead_of_b(os.mkfifo), "'b.jpg': cannot be read: "),
  ],
)
def test_an_image_that_changes_during_the_build(
  tmp_path, monkeypatch, change, says
):
  images = making.write_folder(tmp_path / 'images', FILES)
  (tmp_path / 'l.txt').write_bytes(LABELS)
  write_plans = imagenet_val_tfrec_dataset_builder.shards.write_plans

  def change_and_write(*args, **kwargs):
    change(images if says.endswith('read: ') else images / 'b.jpg')
    return write_plans(*args, **kwargs)

  monkeypatch.setattr(
    imagenet_val_tfrec_dataset_builder.shards, 'write_plans', change_and_write
  )
  with pytest.raises(errors.InputError, match='1 images cannot be used') as e:
    making.build(
      tmp_path / 'data', image_dir=images, label_file=tmp_path / 'l.txt'
    )
  assert says in str(e.value)
  assert making.left_behind(tmp_path / 'data') == []
