"""dummy_data/ is what its script makes, and what its names and labels claim."""

from __future__ import annotations

import collections
import io
import itertools
import pathlib
import runpy
import tarfile

import pytest
import tensorflow_datasets as tfds
from PIL import ExifTags, Image

_DATA = pathlib.Path(__file__).parents[1] / 'dummy_data'
_IMAGES = _DATA / 'val_images'

_SHAPES = {  # Name's number: width, height, Pillow's mode.
  2: (240, 180, 'L'),
  8575: (173, 219, 'RGB'),
  12310: (256, 192, 'RGB'),
  18230: (150, 180, 'CMYK'),
  24110: (23, 17, 'RGB'),
  31292: (96, 256, 'RGB'),
  36416: (240, 240, 'RGB'),
  49343: (400, 150, 'RGB'),
}


def _name(number: int) -> str:
  return f'ILSVRC2012_val_{number:08d}.JPEG'


def _markers(data: bytes) -> collections.Counter[int]:
  """Counts the markers of a JPEG file, those in its coded data too."""
  return collections.Counter(
    second
    for first, second in itertools.pairwise(data)
    if first == 0xFF and second not in (0x00, 0xFF)
  )


@pytest.fixture(scope='module')
def made(tmp_path_factory) -> pathlib.Path:
  out = tmp_path_factory.mktemp('made')
  runpy.run_path(str(_DATA / 'make_dummy_data.py'))['make'](out)
  return out


def test_script_makes_what_is_here(made):
  assert (made / 'val.txt').read_text() == (_DATA / 'val.txt').read_text()
  names = [_name(number) for number in _SHAPES]
  assert sorted(p.name for p in (made / 'val_images').iterdir()) == names
  for number, (width, height, mode) in _SHAPES.items():
    images = [
      Image.open(folder / 'val_images' / _name(number))
      for folder in (made, _DATA)
    ]
    for image in images:
      assert (*image.size, image.mode) == (width, height, mode)
    # Another Pillow may smooth and encode a little differently.
    new, old = (image.convert('RGB').resize((8, 8)) for image in images)
    for a, b in zip(new.tobytes(), old.tobytes(), strict=True):
      assert abs(a - b) <= 8


def test_script_is_deterministic(made, tmp_path):
  runpy.run_path(str(_DATA / 'make_dummy_data.py'))['make'](tmp_path)
  name = 'ILSVRC2012_img_val.tar'
  assert (made / name).read_bytes() == (tmp_path / name).read_bytes()


def test_labels_are_the_true_ones_in_another_order():
  folder = tfds.core.tfds_path('datasets/imagenet2012')
  wnids = (folder / 'labels.txt').read_text().split()
  of_images = (folder / 'validation_labels.txt').read_text().split()
  lines = (_DATA / 'val.txt').read_text().splitlines()
  names = [line.split()[0] for line in lines]
  assert names != sorted(names)
  assert sorted(names) == [_name(number) for number in _SHAPES]
  for line in lines:
    name, label = line.split()
    assert wnids[int(label)] == of_images[int(name[-13:-5]) - 1]


def test_tar_holds_the_folder():
  with tarfile.open(_DATA / 'ILSVRC2012_img_val.tar') as tar:
    members = tar.getmembers()
    assert [m.name for m in members] == [_name(number) for number in _SHAPES]
    for member in members:
      assert (member.mtime, member.uid, member.uname) == (0, 0, '')
      file = tar.extractfile(member)
      assert file is not None
      assert file.read() == (_IMAGES / member.name).read_bytes()


def test_pictures_are_small():
  assert all(path.stat().st_size < 16_000 for path in _IMAGES.iterdir())


def _read(number: int) -> bytes:
  return (_IMAGES / _name(number)).read_bytes()


def test_cmyk_has_adobes_marker():
  assert Image.open(io.BytesIO(_read(18230))).info['adobe_transform'] == 0


def test_only_one_is_progressive():
  progressive = [n for n in _SHAPES if _markers(_read(n))[0xC2]]
  assert progressive == [31292]
  assert Image.open(io.BytesIO(_read(31292))).info['progressive'] == 1


def test_only_one_has_restart_markers():
  restarts = range(0xD0, 0xD8)
  counts = {n: sum(_markers(_read(n))[m] for m in restarts) for n in _SHAPES}
  # 192 rows are 12 rows of blocks of 16: a marker between each two.
  assert {n: count for n, count in counts.items() if count} == {12310: 11}


def test_exif_thumbnail_has_another_size():
  data = _read(49343)
  thumbnail = data[data.index(b'\xff\xd8', 2) :]
  assert Image.open(io.BytesIO(thumbnail)).size == (64, 24)
  exif = Image.open(io.BytesIO(data)).getexif()
  assert exif.get_ifd(ExifTags.IFD.IFD1)[ExifTags.Base.Compression] == 6
