"""The command `inspect`, and its page `inspect_html`: what a build would do."""

import io
import json
import os
import pathlib
import shlex
import subprocess
import sys

import chromium
import making
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from imagenet_val_tfrec import __main__


def run(*arguments) -> int:
  return __main__.main([*map(str, arguments)])


def encoded(kind: str) -> bytes:
  """Returns a picture 20 pixels high and 600 wide."""
  file = io.BytesIO()
  Image.new('RGBA' if kind == 'PNG' else 'RGB', (600, 20)).save(file, kind)
  return file.getvalue()


@pytest.fixture
def flowers(tmp_path) -> pathlib.Path:
  """Two splits of class folders, with pictures of several kinds."""
  folder = tmp_path / 'my flowers'
  for place, files in (
    ('train/rose', ['gray.jpg', 'cmyk.jpg', 'plain.jpg']),
    ('train/<tulip>', ['tiny.jpg']),
    ('val/<tulip>', ['restart.jpg']),
  ):
    pictures = {name: making.picture(name[:-4]) for name in files}
    making.write_folder(folder / place, pictures)
  (folder / 'train' / '<tulip>' / 'a.png').write_bytes(encoded('PNG'))
  return folder


def below(folder: pathlib.Path) -> set[pathlib.Path]:
  return {*folder.rglob('*')}


def test_what_it_says(flowers, tmp_path, capsys, monkeypatch):
  monkeypatch.chdir(tmp_path)
  before = below(tmp_path)
  assert run('inspect', 'my flowers') == 0
  assert below(tmp_path) == before
  out, found_by_looking = capsys.readouterr()
  assert 'train from train/, 2 class folders; validation' in found_by_looking
  train, of_validation = out.split('validation: ')
  lines = [line.strip() for line in train.splitlines()]
  sizes = [path.stat().st_size for path in flowers.glob('train/*/*')]
  assert lines[:6] == [
    f'train: 5 images, {sum(sizes) / 1e6:,.1f} MB',
    'classes: 2, <tulip> to rose',
    'most images: 3, rose',
    'fewest images: 2, <tulip>',
    'formats: 4 JPEG, 1 PNG',
    'channels: 2 colour, 1 with alpha, 1 CMYK, 1 gray',
  ]
  assert lines[6] == 'height × width: 17×23 to 240×240; by the short side:'
  bars = [line.split() for line in lines[7:]]
  assert [(bar[0], bar[-1]) for bar in bars] == [
    ('16', '2'),
    ('32', '0'),
    ('64', '0'),
    ('128', '3'),
  ]
  assert [len(bar[3]) for bar in bars if len(bar) > 4] == [27, 40]
  assert 'images of a class: 1\n' in of_validation
  assert 'classes without an image: 1' in of_validation
  # What it says to do does what it says.
  tool, *command = shlex.split(out.splitlines()[-1].removeprefix('to build: '))
  assert tool == 'imagenet_val_tfrec'
  assert run(*command, '--data_dir', 'data') == 0
  builder = tfds.builder('imagenet_val_tfrec/my_flowers', data_dir='data')
  assert builder.info.splits['train'].num_examples == 5
  most = float(out.partition('a build: at most ')[2].split()[0])
  assert builder.info.dataset_size / 1e6 == pytest.approx(most, abs=0.06)


@pytest.mark.parametrize('path', ['dummy_data', 'ILSVRC2012_img_val.tar'])
def test_official_images(tmp_path, capsys, path):
  """With the labels that a build takes for them."""
  path = making.ROOT / path
  if path.suffix:
    path = tmp_path / path.name
    names = sorted((making.DUMMY / 'val_images').iterdir())
    making.write_tar(path, {p.name: p.read_bytes() for p in names})
    path = tmp_path
    (path / 'val.txt').write_bytes((making.DUMMY / 'val.txt').read_bytes())
  assert run('inspect', path) == 0
  out = capsys.readouterr().out
  assert 'classes: 1,000, n01440764 (tench) to n15075141 (toilet tissue)' in out
  assert out.endswith(
    f'to build: imagenet_val_tfrec build --manual_dir {path}\n'
  )


def truncated(folder: pathlib.Path) -> None:
  path = folder / 'train' / 'rose' / 'plain.jpg'
  os.truncate(path, path.stat().st_size - 2)
  (folder / 'val' / '<tulip>' / 'b.webp').write_bytes(encoded('WEBP'))


def without_class(folder: pathlib.Path) -> None:
  (folder / 'val' / 'oak').mkdir()


def two_readings(folder: pathlib.Path) -> None:
  (folder / 'more').mkdir()


def with_double(folder: pathlib.Path) -> None:
  (folder / 'val' / '<tulip>' / 'b.jpg').write_bytes(making.picture('tiny'))


@pytest.mark.parametrize(
  ('harm', 'options', 'says'),
  [
    (truncated, {}, '1 images cannot be used in '),
    (without_class, {}, "'oak' are classes that train does not have"),
    (two_readings, {}, "'more' does not fit"),
    (with_double, {'refuse_duplicates': True}, "images of split 'validation'"),
    (lambda folder: None, {'formats': ['gif']}, 'not a GIF but a JPEG image'),
    (lambda folder: None, {'num_classes': 1}, 'labels are out of range 0..0'),
  ],
)
def test_it_refuses_what_a_build_does(
  flowers, tmp_path, capsys, harm, options, says
):
  harm(flowers)
  config = {'name': 'flowers', 'image_dir': str(flowers), **options}
  config = json.dumps(config)
  before = below(tmp_path)
  assert run('inspect', '--config', config) == 1
  assert below(tmp_path) == before
  error = capsys.readouterr().err
  assert says in error
  assert 'Traceback' not in error
  assert run('build', '--config', config, '--data_dir', tmp_path / 'data') == 1
  of_build = capsys.readouterr().err
  assert error.partition('error: ')[2] == of_build.partition('error: ')[2]


LIGHT = """
import sys
from imagenet_val_tfrec import __main__
assert __main__.main(['inspect', sys.argv[1]]) == 0
print([name for name in ('tensorflow', 'apache_beam') if name in sys.modules])
"""


def test_nothing_heavy_is_loaded():
  run = subprocess.run(
    [sys.executable, '-W', 'error', '-c', LIGHT, making.DUMMY],
    check=True,
    capture_output=True,
    text=True,
    cwd=making.ROOT,
  )
  assert run.stdout.splitlines()[-1] == '[]'


@pytest.mark.parametrize(
  ('arguments', 'says'),
  [
    ([], 'expected a path, or --config'),
    (['nothing'], 'no such folder or tar'),
    (
      ['.', '--config', 'flowers'],
      "config is 'flowers', expected one as JSON, or imagenet2012",
    ),
    (
      ['.', '--config', '{"name": "a", "image_dir": "b"}'],
      "path is '.', but image_dir in the config is 'b'; leave one of them out",
    ),
  ],
)
def test_wrong_words(tmp_path, monkeypatch, capsys, arguments, says):
  monkeypatch.chdir(tmp_path)
  assert run('inspect', *arguments) == 1
  assert says in capsys.readouterr().err


def test_the_page(flowers, tmp_path, capsys):
  """A broken image has no picture; names are text."""
  truncated(flowers)
  path = tmp_path / 'page.html'
  assert run('inspect', flowers, '--html', path) == 1
  assert f'pictures: {path}' in capsys.readouterr().out
  if not chromium.find():
    pytest.skip('there is no browser')
  with chromium.start() as page:
    for width in (360, 1280):
      page.open(path, width)
      assert page.run('document.documentElement.scrollWidth') <= width
    assert page.faults == []
    assert {url.partition(':')[0] for url in page.asked} <= {'file', 'data'}
    heads = '[...document.querySelectorAll("section")].filter((s) => !s.hidden)'
    heads += '.map((s) => s.querySelector("h2").innerText)'
    assert page.run(heads) == ['<tulip> 2 images', 'rose 3 images']
    assert page.run('document.images.length') >= 4
    page.run('document.querySelector("input").focus()')
    page.type('ROS')
    assert page.run(heads) == ['rose 3 images']
    assert page.run('document.querySelector("output").textContent') == '1 of 2'
