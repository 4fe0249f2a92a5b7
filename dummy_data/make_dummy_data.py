"""Makes this folder's data: eight drawn pictures of eight kinds of JPEG.

  python dummy_data/make_dummy_data.py [OUT]

Writes `val_images/`, the same files as `ILSVRC2012_img_val.tar`, and `val.txt`
into OUT (default: this folder). Names are official ones and labels the true
ones, as `tensorflow-datasets` ships them; the pictures are drawn here and show
what the label says. Nothing is random: the same Pillow gives the same bytes.

Needs Pillow and tensorflow-datasets.
"""

from __future__ import annotations

import dataclasses
import io
import math
import pathlib
import struct
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping

import tensorflow_datasets as tfds
from PIL import Image, ImageDraw, ImageOps

_Point = tuple[float, float]

_SMOOTH = 4  # Pictures are drawn this many times as large, then shrunk.


def _sky(size: tuple[int, int], top: str, bottom: str) -> Image.Image:
  """Returns a vertical gradient."""
  return ImageOps.colorize(Image.linear_gradient('L').resize(size), top, bottom)


def _glow(size: tuple[int, int], inner: str, outer: str) -> Image.Image:
  """Returns a radial gradient."""
  gradient = Image.radial_gradient('L').resize(size)
  return ImageOps.colorize(gradient, inner, outer)


def _circle(center: _Point, radius: float) -> tuple[float, float, float, float]:
  """Returns a circle's bounding box."""
  x, y = center
  return x - radius, y - radius, x + radius, y + radius


def _ring(center: _Point, radius: float, corners: int) -> Iterator[_Point]:
  """Yields the corners of a regular polygon, the first one at the top."""
  for i in range(corners):
    angle = 2 * math.pi * i / corners
    yield (
      center[0] + radius * math.sin(angle),
      center[1] - radius * math.cos(angle),
    )


def _alp(width: int, height: int) -> Image.Image:
  image = _sky((width, height), '#8fa6bd', '#f4f6f8')
  draw = ImageDraw.Draw(image)
  for peak, level, shade in (
    (0.30, 0.24, '#b4bcc6'),
    (0.72, 0.14, '#7d8794'),
    (0.45, 0.46, '#4a525c'),
    (0.90, 0.58, '#2b3138'),
  ):
    x, y, foot = peak * width, level * height, 1.2 * height
    slope = 0.62 * (foot - y)
    draw.polygon([(x, y), (x + slope, foot), (x - slope, foot)], fill=shade)
    cap, snow = 0.16 * slope, 0.16 * (foot - y)
    zigzag = [
      (x + cap * (1 - i / 3), y + snow * (0.7 if i % 2 else 1))
      for i in range(7)
    ]
    draw.polygon([(x, y), *zigzag], fill='#ffffff')
  return image


def _balloon(width: int, height: int) -> Image.Image:
  image = _sky((width, height), '#2f86d6', '#cdeaff')
  draw = ImageDraw.Draw(image)
  x, y, radius = width / 2, 0.40 * height, 0.31 * height
  basket = (x - 0.07 * height, 0.86 * height, x + 0.07 * height, 0.95 * height)
  for side in (-1, 1):
    draw.line(
      [(x + side * radius * 0.8, y + radius * 0.6), (x + side * 15, basket[1])],
      fill='#5b3a21',
      width=6,
    )
  stripes = ['#d7263d', '#ffd23f', '#f46036', '#fff3d6', '#1b998b']
  for i, colour in enumerate(stripes):
    half = radius * (1 - i / len(stripes))
    # A round top and a pointed foot: half an ellipse over a triangle.
    foot = (x, y + 1.35 * radius)
    draw.polygon([(x - half, y), foot, (x + half, y)], fill=colour)
    draw.ellipse((x - half, y - radius, x + half, y + radius), fill=colour)
  draw.rounded_rectangle(basket, radius=12, fill='#8a5a2b')
  return image


def _bubble(width: int, height: int) -> Image.Image:
  image = _sky((width, height), '#1d3557', '#457b9d')
  center, radius = (width / 2, height / 2), 0.4 * height
  ball = _glow((width, height), '#5fa8d3', '#ffc8dd')
  mask = Image.new('L', (width, height))
  ImageDraw.Draw(mask).ellipse(_circle(center, radius), fill=190)
  image.paste(ball, mask=mask)
  shine = (center[0] - 0.4 * radius, center[1] - 0.45 * radius)
  ImageDraw.Draw(image).ellipse(_circle(shine, 0.2 * radius), fill='white')
  return image


def _daisy(width: int, height: int) -> Image.Image:
  image = _glow((width, height), '#7cc36a', '#1f5f3a')
  draw = ImageDraw.Draw(image)
  center, petal = (width / 2, height / 2), 0.43 * height
  for petals, size, colour in ((13, 1.0, '#dfe6f2'), (13, 0.86, '#ffffff')):
    for i, (x, y) in enumerate(_ring((0, 0), 1, 2 * petals)):
      if i % 2 == (size < 1):
        outline = []
        for j in range(40):
          angle = 2 * math.pi * j / 40
          along = petal * size * (0.6 + 0.4 * math.cos(angle))
          across = petal * 0.12 * math.sin(angle)
          outline.append(
            (
              center[0] + along * x - across * y,
              center[1] + along * y + across * x,
            )
          )
        draw.polygon(outline, fill=colour)
  draw.ellipse(_circle(center, 0.30 * petal), fill='#e09f1f')
  draw.ellipse(_circle(center, 0.24 * petal), fill='#ffc93c')
  return image


def _honeycomb(width: int, height: int) -> Image.Image:
  image = Image.new('RGB', (width, height), '#7a4a0c')
  draw = ImageDraw.Draw(image)
  honey = ['#f6b73c', '#ffd166', '#e8960c', '#ffc145', '#d97f06']
  radius = height / 8.5
  step = radius * math.sqrt(3)
  for row in range(8):
    for column in range(int(width / step) + 2):
      center = (column * step + row % 2 * step / 2, row * 1.5 * radius)
      colour = honey[(3 * row + column * column) % len(honey)]
      draw.polygon(list(_ring(center, 0.9 * radius, 6)), fill=colour)
      glint = (center[0] - 0.3 * radius, center[1] - 0.35 * radius)
      draw.ellipse(_circle(glint, 0.14 * radius), fill='#fff1c9')
  return image


def _seashore(width: int, height: int) -> Image.Image:
  image = _sky((width, height), '#3a1c71', '#ffaf7b')
  draw = ImageDraw.Draw(image)
  sun = (0.68 * width, 0.50 * height)
  for size, colour in ((0.30, '#f79d6c'), (0.25, '#ffc27a'), (0.2, '#fff0b3')):
    draw.ellipse(_circle(sun, size * height), fill=colour)
  draw.rectangle((0, 0.55 * height, width, height), fill='#1f4e79')
  for i in range(9):  # The sun's path on the water.
    y, half = (0.575 + 0.035 * i) * height, (0.22 - 0.018 * i) * height
    draw.line([(sun[0] - half, y), (sun[0] + half, y)], '#ffd9a0', 8)
  beach = [
    (width * i / 60, height * (0.86 - 0.04 * math.sin(i / 7) - i / 900))
    for i in range(61)
  ]
  corners: list[_Point] = [(width, height), (0, height)]
  draw.polygon([(x, y - 14) for x, y in beach] + corners, fill='#f4f9fb')
  draw.polygon([*beach, *corners], fill='#e6c79c')
  return image


def _traffic_light(width: int, height: int) -> Image.Image:
  image = _sky((width, height), '#5aa9e6', '#e3f2fd')
  draw = ImageDraw.Draw(image)
  x, radius = width / 2, 0.115 * height
  draw.rectangle((x - 24, 0.8 * height, x + 24, height), fill='#33383f')
  housing = (x - 0.36 * width, 0.05 * height, x + 0.36 * width, 0.88 * height)
  draw.rounded_rectangle(housing, radius=60, fill='#22262b')
  for i, (rim, lamp) in enumerate(
    (('#7d1128', '#ff3b30'), ('#7a5c00', '#ffcc00'), ('#0b5d1e', '#34c759'))
  ):
    center = (x, (0.19 + 0.275 * i) * height)
    draw.ellipse(_circle(center, radius), fill=rim)
    draw.ellipse(_circle(center, 0.86 * radius), fill=lamp)
    shine = (center[0] - 0.35 * radius, center[1] - 0.35 * radius)
    draw.ellipse(_circle(shine, 0.18 * radius), fill='#ffffff')
  return image


def _umbrella(width: int, height: int) -> Image.Image:
  """Draws a parasol on the beach, from above."""
  image = _glow((width, height), '#f2dfb8', '#d9b77e')
  draw = ImageDraw.Draw(image)
  center, radius = (width / 2, height / 2), 0.46 * width
  shadow = (center[0] + 0.06 * width, center[1] + 0.09 * height)
  draw.polygon(list(_ring(shadow, radius, 8)), fill='#b8945c')
  rim = list(_ring(center, radius, 8))
  for i, colour in enumerate(['#e63946', '#f9f9f2', '#2a9d8f', '#f9f9f2'] * 2):
    draw.polygon([center, rim[i], rim[(i + 1) % 8]], fill=colour)
  draw.ellipse(_circle(center, 0.06 * width), fill='#264653')
  return image


def _thumbnail(image: Image.Image) -> bytes:
  """Returns an EXIF block whose IFD1 holds a small JPEG (EXIF 2.3, 4.5)."""
  small = io.BytesIO()
  image.resize((64, 24)).save(small, 'JPEG', quality=60)
  data = small.getvalue()

  def entry(tag: int, kind: int, value: int) -> bytes:
    return struct.pack('<HHII', tag, kind, 1, value)

  ifd0 = struct.pack('<H', 1) + entry(0x0112, 3, 1)  # Orientation: upright.
  ifd1_at = 8 + len(ifd0) + 4
  ifd1 = (
    struct.pack('<H', 3)
    + entry(0x0103, 3, 6)  # Compression: JPEG.
    + entry(0x0201, 4, ifd1_at + 2 + 3 * 12 + 4)  # Where the JPEG starts.
    + entry(0x0202, 4, len(data))
    + struct.pack('<I', 0)
  )
  header = struct.pack('<2sHI', b'II', 42, 8)
  return b'Exif\0\0' + header + ifd0 + struct.pack('<I', ifd1_at) + ifd1 + data


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Picture:
  """A drawing, and how it is stored.

  Attributes:
    number: That of its official name, 1..50000.
    draw: Draws it in the given width and height, in pixels.
    size: Width and height, in pixels.
    mode: Pillow's name of the stored colours.
    options: Options of Pillow's JPEG encoder.
    thumbnail: Whether an EXIF thumbnail is stored with it.
  """

  number: int
  draw: Callable[[int, int], Image.Image]
  size: tuple[int, int]
  mode: str = 'RGB'
  options: Mapping[str, object] = dataclasses.field(default_factory=dict)
  thumbnail: bool = False

  @property
  def name(self) -> str:
    return f'ILSVRC2012_val_{self.number:08d}.JPEG'

  def encode(self) -> bytes:
    """Returns the JPEG file."""
    width, height = self.size
    image = self.draw(width * _SMOOTH, height * _SMOOTH)
    image = image.resize(self.size, Image.Resampling.LANCZOS).convert(self.mode)
    options = dict(self.options)
    if self.thumbnail:
      options['exif'] = _thumbnail(image)
    file = io.BytesIO()
    image.save(file, 'JPEG', quality=80, **options)
    return file.getvalue()


_PICTURES = [
  _Picture(number=2, draw=_alp, size=(240, 180), mode='L'),
  _Picture(
    number=8575,
    draw=_umbrella,
    size=(173, 219),
    options={'subsampling': '4:4:4'},
  ),
  _Picture(
    number=12310,
    draw=_honeycomb,
    size=(256, 192),
    options={'restart_marker_rows': 1},
  ),
  # Pillow stores CMYK inverted and with Adobe's marker, as Photoshop does.
  _Picture(number=18230, draw=_balloon, size=(150, 180), mode='CMYK'),
  _Picture(number=24110, draw=_bubble, size=(23, 17)),
  _Picture(
    number=31292,
    draw=_traffic_light,
    size=(96, 256),
    options={'progressive': True},
  ),
  _Picture(number=36416, draw=_daisy, size=(240, 240)),
  _Picture(number=49343, draw=_seashore, size=(400, 150), thumbnail=True),
]

# The order of val.txt: not that of the names, so that a mix-up shows.
_LABEL_ORDER = [36416, 18230, 2, 49343, 24110, 12310, 31292, 8575]


def _true_labels() -> list[int]:
  """Returns the 50,000 labels, 0..999, in the order of the file names."""
  folder = tfds.core.tfds_path('datasets/imagenet2012')
  wnids = (folder / 'labels.txt').read_text().split()
  label_of = {wnid: label for label, wnid in enumerate(wnids)}
  of_images = (folder / 'validation_labels.txt').read_text().split()
  return [label_of[wnid] for wnid in of_images]


def make(out: pathlib.Path) -> None:
  """Writes the folder, the tar and the label file into `out`."""
  images = out / 'val_images'
  images.mkdir(parents=True, exist_ok=True)
  tar_path = out / 'ILSVRC2012_img_val.tar'
  with tarfile.open(tar_path, 'w', format=tarfile.USTAR_FORMAT) as tar:
    for picture in _PICTURES:
      data = picture.encode()
      (images / picture.name).write_bytes(data)
      member = tarfile.TarInfo(picture.name)  # Its time and owner are 0.
      member.size = len(data)
      tar.addfile(member, io.BytesIO(data))
  labels = _true_labels()
  name_of = {picture.number: picture.name for picture in _PICTURES}
  lines = [f'{name_of[n]} {labels[n - 1]}\n' for n in _LABEL_ORDER]
  (out / 'val.txt').write_text(''.join(lines))


if __name__ == '__main__':
  here = pathlib.Path(__file__).resolve().parent
  make(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else here)
