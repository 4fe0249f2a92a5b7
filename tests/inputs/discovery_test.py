"""What people have in one folder: images and labels of every usual shape."""

import gzip
import io
import os
import pathlib
import tarfile
import tracemalloc

import pytest

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import discovery, imagenet, join
from imagenet_val_tfrec.inputs import labels as labels_lib

DUMMY = pathlib.Path(__file__).parents[2] / 'dummy_data'
LINES = [line.split() for line in (DUMMY / 'val.txt').open()]
LABELS = [985, 417, 970, 978, 971, 599, 920, 879]
BY_NAME = {name: int(label) for name, label in LINES}


def image(name):
  return (DUMMY / 'val_images' / name).read_bytes()


def put(path, data):
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(data if isinstance(data, bytes) else data.encode())


def tar_of(files):
  content = io.BytesIO()
  with tarfile.open(fileobj=content, mode='w') as tar:
    for name, data in files.items():
      member = tarfile.TarInfo(name)
      member.size = len(data)
      tar.addfile(member, io.BytesIO(data))
  return content.getvalue()


IMAGE_LAYOUTS = {
  'tar, flat': lambda d: put(
    d / 'ILSVRC2012_img_val.tar', tar_of({n: image(n) for n in BY_NAME})
  ),
  'tar, ./': lambda d: put(
    d / 'ILSVRC2012_img_val.tar', tar_of({f'./{n}': image(n) for n in BY_NAME})
  ),
  'tar, one folder': lambda d: put(
    d / 'ILSVRC2012_img_val.tar',
    tar_of({f'val/{n}': image(n) for n in BY_NAME}),
  ),
  'tar, by class': lambda d: put(
    d / 'ILSVRC2012_img_val.tar',
    tar_of(
      {
        f'val/{imagenet.wnids()[label]}/{n}': image(n)
        for n, label in BY_NAME.items()
      }
    ),
  ),
  'val_images': lambda d: [
    put(d / 'val_images' / n, image(n)) for n in BY_NAME
  ],
  'ILSVRC2012_img_val': lambda d: [
    put(d / 'ILSVRC2012_img_val' / n, image(n)) for n in BY_NAME
  ],
  'val': lambda d: [put(d / 'val' / n, image(n)) for n in BY_NAME],
  'PyTorch': lambda d: [
    put(d / 'val' / imagenet.wnids()[label] / n, image(n))
    for n, label in BY_NAME.items()
  ],
  'Kaggle': lambda d: [
    put(d / 'ILSVRC/Data/CLS-LOC/val' / n, image(n)) for n in BY_NAME
  ],
  'the folder itself': lambda d: [put(d / n, image(n)) for n in BY_NAME],
}


def caffe(folder, name='val.txt'):
  content = io.BytesIO()
  with tarfile.open(fileobj=content, mode='w:gz') as tar:
    for member_name, data in (
      ('train.txt', b'x'),
      (name, (DUMMY / 'val.txt').read_bytes()),
    ):
      member = tarfile.TarInfo(member_name)
      member.size = len(data)
      tar.addfile(member, io.BytesIO(data))
  put(folder / 'caffe_ilsvrc12.tar.gz', content.getvalue())


def kaggle(folder):
  lines = ['ImageId,PredictionString']
  for name, label in LINES:
    wnid = imagenet.wnids()[int(label)]
    image_id = name.removesuffix('.JPEG')
    lines.append(f'{image_id},{wnid} 10 20 30 40 {wnid} 1 2 3 4')
  put(folder / 'LOC_val_solution.csv', '\n'.join(lines) + '\n')


LABEL_FILES = {
  'val.txt': lambda d: put(d / 'val.txt', (DUMMY / 'val.txt').read_bytes()),
  'caffe': caffe,
  'kaggle': kaggle,
}


@pytest.mark.parametrize('label_file', LABEL_FILES)
@pytest.mark.parametrize('layout', IMAGE_LAYOUTS)
def test_every_layout_with_every_label_file(tmp_path, layout, label_file):
  IMAGE_LAYOUTS[layout](tmp_path)
  LABEL_FILES[label_file](tmp_path)
  labels = discovery.find_labels(str(tmp_path))
  imagenet.check_labels(labels)
  source = discovery.find_images(str(tmp_path))
  examples = join.locate(labels, source)
  assert list(labels.names) == [name for name, _ in LINES]
  assert list(labels.labels) == LABELS
  assert list(examples.sizes) == [len(image(name)) for name, _ in LINES]


def test_label_files_in_the_order_of_preference(tmp_path):
  for make in LABEL_FILES.values():
    make(tmp_path)
  found = []
  for name in discovery.LABELS:
    found.append(discovery.find_labels(str(tmp_path)).path)
    (tmp_path / name).unlink()
  found.append(discovery.find_labels(str(tmp_path)).path)
  assert found == [
    f'{tmp_path}/val.txt',
    f'{tmp_path}/caffe_ilsvrc12.tar.gz/val.txt',
    f'{tmp_path}/LOC_val_solution.csv',
    'the true labels',
  ]


def test_the_true_labels_are_caffes():
  labels = discovery.find_labels('/')
  assert len(labels) == 50_000
  assert labels.names[0] == 'ILSVRC2012_val_00000001.JPEG'
  assert labels.labels[0] == 65
  # Of `NAME LABEL\n` lines; the same as of Caffe's val.txt.
  assert labels.sha256 == (
    '4138c0cd92d2dffea9353a9339c9f352361b7c6c267d2ff989b366f154188257'
  )


@pytest.mark.parametrize(
  ('files', 'fragments'),
  [
    ([], ['The folder is empty']),
    (
      ['cats.zip', 'notes'],
      [
        "Found there: 'cats.zip', 'notes'",
        'Looked for: ILSVRC2012_img_val.tar',
      ],
    ),
    (['val.txt'], ['tfds build imagenet_val_tfrec --manual_dir=']),
  ],
)
def test_where_nothing_fits_the_error_says_what_to_do(
  tmp_path, files, fragments
):
  for name in files:
    put(tmp_path / name, 'x')
  with pytest.raises(FileNotFoundError) as error:
    discovery.find_images(str(tmp_path))
  for fragment in fragments:
    assert fragment in str(error.value)


@pytest.mark.parametrize(
  ('name', 'data', 'message'),
  [
    ('caffe_ilsvrc12.tar.gz', b'not gzip at all', 'archive is damaged'),
    ('caffe_ilsvrc12.tar.gz', None, 'there is no val.txt in it'),
    ('LOC_val_solution.csv', 'ImageId,PredictionString\na,dog 1 2 3 4', ':2: '),
    ('LOC_val_solution.csv', 'ImageId,PredictionString\n', 'no labels'),
  ],
)
def test_label_archives_that_cannot_be_read(tmp_path, name, data, message):
  if data is None:
    caffe(tmp_path, name='other.txt')
  else:
    put(tmp_path / name, data)
  with pytest.raises(errors.InputError, match=message):
    discovery.find_labels(str(tmp_path))


# --- hostile archives ---

LABEL_LINE = b'a.jpg 1\n'


def header(name, size, kind=tarfile.REGTYPE):
  member = tarfile.TarInfo(name)
  member.size, member.type = size, kind
  return member.tobuf(tarfile.GNU_FORMAT)


def member(name, data, kind=tarfile.REGTYPE):
  return header(name, len(data), kind) + data + bytes(-len(data) % 512)


END = bytes(1024)
VAL_TXT = member('val.txt', LABEL_LINE) + END
ZEROS = bytes(1 << 20)


def archive(*parts):
  """Returns these bytes packed, without ever holding them unpacked."""
  out = io.BytesIO()
  with gzip.GzipFile(fileobj=out, mode='wb', compresslevel=1) as file:
    for part in parts:
      file.write(part)
  return out.getvalue()


@pytest.mark.parametrize(
  'content',
  [
    archive(VAL_TXT),
    VAL_TXT,  # As browsers leave it that unpack what they download.
    archive(member('.//data/val.txt', LABEL_LINE), END),
    archive(member('readme', b'', tarfile.SYMTYPE), VAL_TXT),
    archive(header('big', 100 << 20), *[ZEROS] * 100, VAL_TXT),
    archive(*[member('././@LongLink', b'val.txt', b'L')] * 2000, VAL_TXT),
    gzip.compress(VAL_TXT[:700]) + gzip.compress(VAL_TXT[700:]),
  ],
  ids=['plain', 'unpacked', 'folder', 'link', 'large', 'long', 'parts'],
)
def test_caffes_archive_in_many_shapes(tmp_path, content):
  path = tmp_path / 'x.tar.gz'
  path.write_bytes(content)
  found = discovery.read_labels(str(path))
  assert (found.path, found.names) == (f'{path}/val.txt', ['a.jpg'])


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    (b'', 'the archive is damaged: an empty file, expected a tar'),
    (gzip.compress(LABEL_LINE), 'the archive is damaged: the tar is cut: the'),
    (archive(VAL_TXT)[:-9], 'the archive is damaged: '),
    (archive(VAL_TXT)[:-4] + b'\7\0\0\0', 'the archive is damaged: Incorrect'),
    (archive(VAL_TXT[:515]), 'file ends before its end-of-archive blocks'),
    (archive(VAL_TXT[:-512]), 'its end is one zero block, not two'),
    (archive(member('b', b'')), 'the file ends before its end-of-archive bl'),
    (archive(b'?' + VAL_TXT[1:]), 'damaged: not a tar: its first header does'),
    (archive(member('val.txt', b'', b'2'), END), 'val.txt is a symbolic link'),
    (
      archive(member('x', b'22 GNU.sparse.map=x,y\n', b'x'), VAL_TXT),
      'val.txt is a sparse file, expected a file of 1.6 MB',
    ),
    (
      archive(member('x', b'11 size=-9\n', b'x'), VAL_TXT),
      'the archive is damaged: not a tar: its first header is followed by a s',
    ),
    (
      archive(header('x', 400 << 20, b'x'), *[ZEROS] * 400, VAL_TXT),
      'a member promises 419,430,400 bytes of data',
    ),
    (
      archive(header('x', 200 << 20, b'x'), *[ZEROS] * 200, VAL_TXT),
      'claims 209,715,200 bytes of names',
    ),
    (
      archive(*[header('b', 64 << 20), *[ZEROS] * 64] * 8, VAL_TXT),
      'a member promises 67,108,864 bytes of data',
    ),
    (
      archive(header('val.txt', 200 << 20), *[ZEROS] * 200, END),
      'its val.txt is a file of 209,715,200 bytes, expected a file of 1.6 MB',
    ),
    (archive(*[member('b', b'')] * 9999, END), 'there is no val.txt in it'),
    (archive(member('val.txt', b'x\n'), END), 'x.tar.gz/val.txt:1: no label'),
  ],
  ids=lambda value: value[:40] if isinstance(value, str) else '',
)
def test_hostile_archives(tmp_path, content, message):
  path = tmp_path / 'x.tar.gz'
  path.write_bytes(content)
  tracemalloc.start()
  try:
    with pytest.raises(labels_lib.LabelError) as e:
      discovery.read_labels(str(path))
    _, peak = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  assert message in str(e.value)
  assert str(path) in str(e.value)
  assert len(str(e.value)) < 500
  assert peak < 20_000_000


def test_an_archive_that_is_much_too_large(tmp_path):
  path = tmp_path / 'x.tar.gz'
  path.touch()
  os.truncate(path, 1 << 40)
  with pytest.raises(labels_lib.LabelError, match='an archive of 1,099,511,62'):
    discovery.read_labels(str(path))
