"""What people have in one folder: images and labels of every usual shape."""

import gzip
import io
import pathlib
import tarfile

import pytest

from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import discovery, imagenet, join

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


def kaggle(folder):
  lines = ['ImageId,PredictionString']
  for name, label in LINES:
    wnid = imagenet.wnids()[int(label)]
    image_id = name.removesuffix('.JPEG')
    lines.append(f'{image_id},{wnid} 10 20 30 40 {wnid} 1 2 3 4')
  put(folder / 'LOC_val_solution.csv', '\n'.join(lines) + '\n')


LABEL_FILES = {
  'val.txt': lambda d: put(d / 'val.txt', (DUMMY / 'val.txt').read_bytes()),
  'kaggle': kaggle,
}


@pytest.mark.parametrize('label_file', LABEL_FILES)
@pytest.mark.parametrize('layout', IMAGE_LAYOUTS)
def test_every_layout_with_every_label_file(tmp_path, layout, label_file):
  IMAGE_LAYOUTS[layout](tmp_path)
  LABEL_FILES[label_file](tmp_path)
  labels = discovery.read_labels(discovery.find_label_file(str(tmp_path)))
  imagenet.check_labels(labels)
  source = discovery.find_images(str(tmp_path))
  examples = join.locate(labels, source)
  assert list(labels.names) == [name for name, _ in LINES]
  assert list(labels.labels) == LABELS
  assert list(examples.sizes) == [len(image(name)) for name, _ in LINES]


def test_label_files_in_the_order_of_preference(tmp_path):
  for make in LABEL_FILES.values():
    make(tmp_path)
  for name in ('val.txt', 'LOC_val_solution.csv'):
    path = tmp_path / name
    assert discovery.find_label_file(str(tmp_path)) == str(path)
    path.unlink()
  assert discovery.find_label_file(str(tmp_path)) is None


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
    (['val.txt'], ['imagenet_val_tfrec build --manual_dir=']),
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
    (
      'val.txt',
      gzip.compress(b'a.jpg 1', mtime=0),
      'is a gzip file, not a label fi',
    ),
    ('LOC_val_solution.csv', 'ImageId,PredictionString\na,dog 1 2 3 4', ':2: '),
    ('LOC_val_solution.csv', 'ImageId,PredictionString\n', 'no labels'),
  ],
)
def test_label_files_that_cannot_be_read(tmp_path, name, data, message):
  put(tmp_path / name, data)
  with pytest.raises(errors.InputError, match=message):
    discovery.read_labels(discovery.find_label_file(str(tmp_path)))
