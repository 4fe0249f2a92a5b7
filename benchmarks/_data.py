"""Makes a data set in the shape of ImageNet's validation set.

  python -m _data OUT --images 50000 [--tiny]

The pictures are patterns with noise, a few of them stored again and again under
official names, so that names, labels, sizes and the cost of decoding are like
the real ones. With `--tiny` each is about 1 kB: for trying very many images.
"""

from __future__ import annotations

import argparse
import io
import pathlib
import tarfile

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

# Widths and heights that are common in the real set.
_SIZES = [(500, 375), (500, 333), (375, 500), (500, 400), (640, 480)]
_TINY_SIZES = [(48, 32), (32, 48), (40, 40)]


def _picture(seed: int, tiny: bool) -> bytes:
  """Returns a JPEG of about 110 kB, or 1 kB: waves of colour and noise."""
  sizes = _TINY_SIZES if tiny else _SIZES
  width, height = sizes[seed % len(sizes)]
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:height, :width]
  frequency = rng.uniform(0.005, 0.05, (2, 3))
  phase = rng.uniform(0, 2 * np.pi, 3)
  waves = np.sin(
    x[..., None] * frequency[0] + y[..., None] * frequency[1] + phase
  )
  # Gray noise, as most fine detail is: it is what fills the file.
  noise = rng.normal(0, rng.uniform(6, 26), (height, width, 1))
  pixels = np.clip(128 + 90 * waves + noise, 0, 255).astype(np.uint8)
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'JPEG', quality=50 if tiny else 92)
  return file.getvalue()


def _true_labels() -> list[int]:
  folder = tfds.core.tfds_path('datasets/imagenet2012')
  wnids = (folder / 'labels.txt').read_text().split()
  label_of = {wnid: label for label, wnid in enumerate(wnids)}
  of_images = (folder / 'validation_labels.txt').read_text().split()
  return [label_of[wnid] for wnid in of_images]


def make(out: pathlib.Path, images: int, *, tiny: bool) -> None:
  """Writes `ILSVRC2012_img_val.tar` and `val.txt` into `out`."""
  pictures = [_picture(seed, tiny) for seed in range(30)]
  labels = _true_labels()
  with (
    open(out / 'val.txt', 'w') as label_file,
    tarfile.open(
      out / 'ILSVRC2012_img_val.tar', 'w', format=tarfile.USTAR_FORMAT
    ) as tar,
  ):
    for i in range(images):
      member = tarfile.TarInfo(f'ILSVRC2012_val_{i + 1:08d}.JPEG')
      data = pictures[i % len(pictures)]
      member.size = len(data)
      tar.addfile(member, io.BytesIO(data))
      tar.members.clear()  # It would keep 1.5 kB for each of them.
      # Names past the real set's end have no true label.
      label = labels[i] if i < len(labels) else 0
      label_file.write(f'{member.name} {label}\n')


if __name__ == '__main__':
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('out', type=pathlib.Path)
  parser.add_argument('--images', type=int, required=True)
  parser.add_argument('--tiny', action='store_true')
  args = parser.parse_args()
  make(args.out, args.images, tiny=args.tiny)
