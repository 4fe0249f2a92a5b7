"""docs/READERS.md: each cell runs as it stands, where its library is there.

And the command `index`. Libraries that the tests do not need are installed by
`nox -s readers`.
"""

import importlib.util
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import making
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import ExifTags, Image

import imagenet_val_tfrec
from imagenet_val_tfrec import __main__, images_to_tfrec, verify

PAGE = making.ROOT / 'docs' / 'READERS.md'
LABELS = [985, 417, 970, 978, 971, 599, 920, 879]  # Of dummy_data.

# The labels that the cells of a section have read.
FOUND = {
  'tf.data': '[int(example["label"]) for example in image_bytes]',
  'Keras': '[int(label) for _, labels in dataset for label in labels]',
  'PyTorch': '[int(label) for _, labels in batches for label in labels]',
  'grain': '[int(label) for batch in batches for label in batch["label"]]',
  'timm': '[int(label) for _, labels in batches for label in labels]',
  'DALI': 'labels.as_array().ravel().tolist()',
  'Hugging Face': 'list(copy["label"])',
}
# Cells of another section that come first.
BEFORE = {'PyTorch': 'By number', 'grain': 'By number'}
BACKENDS = ('tensorflow', 'jax', 'torch')


def sections() -> dict[str, list[str]]:
  """Returns the cells of each section."""
  found = {}
  for section in re.split(r'^##+ ', PAGE.read_text(), flags=re.M):
    name, _, rest = section.partition('\n')
    found[name] = re.findall(r'^```python\n(.*?)^```$', rest, re.M | re.S)
  return {name: cells for name, cells in found.items() if cells}


@pytest.fixture(scope='module')
def folder(tmp_path_factory) -> pathlib.Path:
  """A folder in which the page's own commands have been run."""
  folder = tmp_path_factory.mktemp('readers')
  build = ['build', '--manual_dir', str(making.DUMMY), '--data_dir']
  assert __main__.main([*build, f'{folder}/data']) == 0
  commands = re.findall(r'^imagenet_val_tfrec (.*)$', PAGE.read_text(), re.M)
  assert [command.split()[0] for command in commands] == ['build', 'index']
  for command in commands:
    command = command.replace('FOLDER', str(making.DUMMY))
    command = command.replace('by_number', f'{folder}/by_number')
    command = command.replace('DATA_DIR', f'{folder}/data')
    assert __main__.main(command.split()) == 0
  return folder


def cases():
  for name in sections():
    if name == 'Keras':
      yield from ((name, backend) for backend in BACKENDS)
    elif name not in BEFORE.values():
      yield name, 'tensorflow'


@pytest.mark.parametrize(('section', 'backend'), cases())
def test_reader(folder, monkeypatch, section, backend):
  found = sections()
  cells = [*found.get(BEFORE.get(section, ''), []), *found[section]]
  script = '\n'.join([f'import {backend}' * (backend == 'torch'), *cells])
  for module in {*re.findall(r'^(?:import|from) (\w+)', script, re.M), backend}:
    if importlib.util.find_spec(module) is None:
      pytest.skip(f'{module} is not installed; see `nox -s readers`')
  # Of eight pictures; DALI gives batches for ever.
  script = re.sub(r'\b64\b', '8' if section == 'DALI' else '4', script)
  if backend == 'tensorflow' and section in ('tf.data', 'Keras'):
    monkeypatch.chdir(folder)
    names = {'DATA_DIR': 'data'}
    exec(script, names)
    labels = eval(FOUND[section], names)
  else:
    labels = in_process(folder, backend, script, FOUND[section])
  if section == 'grain':
    assert labels != LABELS  # Shuffled.
    labels.sort(key=LABELS.index)
  assert labels == LABELS


def in_process(folder, backend, script, found) -> list[int]:
  """Runs cells where nothing is imported yet; returns what was found."""
  run = subprocess.run(
    [sys.executable, '-c', f'DATA_DIR = "data"\n{script}\nprint({found})'],
    check=False,
    capture_output=True,
    text=True,
    cwd=folder,
    env={
      **os.environ,
      'HF_HOME': str(folder),
      'KERAS_BACKEND': backend,
      'PYTHONPATH': str(making.ROOT),
    },
  )
  assert run.returncode == 0, run.stderr[-3000:]
  return json.loads(run.stdout.splitlines()[-1])


ALONE = """
import sys
sys.modules['imagenet_val_tfrec'] = None
import tensorflow_datasets as tfds
for folder in sys.argv[1:]:
  print(tfds.builder_from_directory(folder).info.features['label'].names[:2])
"""


def test_which_datasets_need_the_package(folder, tmp_path):
  """Those with WebP; `docs_test` loads others where there is no package."""
  making.write_folder(tmp_path / 'in' / 'rose', {'a.jpg': making.picture()})
  formats = ['jpeg', 'webp']
  builder = making.build(tmp_path, image_dir=tmp_path / 'in', formats=formats)
  folders = version_folder(folder / 'data'), builder.data_dir
  run = subprocess.run(
    [sys.executable, '-c', ALONE, *map(str, folders)],
    check=False,
    capture_output=True,
    text=True,
    cwd=tmp_path,
  )
  assert run.stdout == "['n01440764', 'n01443537']\n"
  assert 'Could not import imagenet_val_tfrec' in run.stderr


def test_an_orientation_in_exif_is_not_applied(tmp_path):
  exif = Image.Exif()
  exif[ExifTags.Base.Orientation] = 6  # Turned by 90 degrees.
  file = io.BytesIO()
  Image.new('L', (32, 16)).save(file, 'JPEG', exif=exif)
  making.write_folder(tmp_path / 'in', {'a.jpg': file.getvalue()})
  (tmp_path / 'in.txt').write_text('a.jpg 0\n')
  builder = making.build(
    tmp_path, image_dir=tmp_path / 'in', label_file=tmp_path / 'in.txt'
  )
  (example,) = tfds.as_numpy(builder.as_dataset(split='validation'))
  assert example['image'].shape == (16, 32, 3)
  stored = [int(example[name]) for name in ('height', 'width', 'chans')]
  assert stored == [16, 32, 1]


# --- the index ---


def version_folder(data_dir: pathlib.Path) -> pathlib.Path:
  (path,) = data_dir.rglob('dataset_info.json')
  return path.parent


def index(*arguments) -> int:
  return __main__.main(['index', *map(str, arguments)])


def labels_by_index(folder: pathlib.Path, indexes: pathlib.Path) -> list[int]:
  """Reads records where the index says; as `tfrecord2idx` of DALI writes it."""
  labels = []
  for path in sorted(indexes.glob('*.idx')):
    content = (folder / path.stem).read_bytes()
    lines = [line.split() for line in path.read_text().splitlines()]
    assert sum(int(size) for _, size in lines) == len(content)
    for offset, size in lines:
      record = content[int(offset) :][: int(size)]
      example = tf.train.Example.FromString(record[12:-4])
      labels += example.features.feature['label'].int64_list.value
  return labels


def test_the_index_of_a_dataset(tmp_path, capsys):
  options = {'num_shards': 3, 'manual_dir': str(making.DUMMY)}
  builder = making.build(tmp_path, options=options)
  version = pathlib.Path(builder.data_dir)
  assert index(version) == 0
  assert capsys.readouterr().out == f'{version}: 3 indexes, of 8 records\n'
  assert labels_by_index(version, version) == LABELS
  report = verify.verify(version)  # It is no foreign file.
  assert not report.findings
  assert making.labels_in(builder) == LABELS


def test_the_index_of_older_files_in_another_folder(tmp_path):
  raw, out = tmp_path / 'raw', tmp_path / 'new' / 'index'
  images_to_tfrec.make_tfrec(
    image_dir=str(making.DUMMY / 'val_images'),
    label_file=str(making.DUMMY / 'val.txt'),
    img_shard=3,
    tfrec_dir=str(raw),
  )
  assert index(raw, '--out', out) == 0
  assert not list(raw.glob('*.idx'))
  assert labels_by_index(raw, out) == LABELS


def cut(version: pathlib.Path) -> None:
  (shard,) = version.glob('*.tfrecord-*')
  os.truncate(shard, shard.stat().st_size - 1)


@pytest.mark.parametrize(
  ('file_format', 'harm', 'says'),
  [
    ('tfrecord', cut, 'file ends within this record'),
    ('tfrecord', shutil.rmtree, 'no folder'),
    ('array_record', lambda version: None, "expected 'tfrecord', which DALI"),
  ],
)
def test_no_index_of(tmp_path, capsys, file_format, harm, says):
  config = tfds.download.DownloadConfig(manual_dir=str(making.DUMMY))
  builder = imagenet_val_tfrec.Builder(
    data_dir=tmp_path, file_format=file_format
  )
  builder.download_and_prepare(download_config=config)
  version = version_folder(tmp_path)
  harm(version)
  assert index(version) == 1
  error = capsys.readouterr().err
  assert says in error
  assert 'Traceback' not in error
  assert not list(tmp_path.rglob('*.idx*'))
