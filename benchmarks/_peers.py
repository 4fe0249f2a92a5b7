"""Other packages that write the same images, and read them.

  python benchmarks/_peers.py WRITER IMAGES LABELS OUT

Writes the images of a folder, and prints `seconds: …` of it. Some of these
packages crash in a process with TensorFlow, so this imports none.

Each is used as its own documentation shows first. What a reader needs written
it writes itself, before its first epoch.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

WORKERS = len(os.sched_getaffinity(0))
SIZE, RESIZED = 224, 256
_CHUNK_BYTES = 1 << 26  # What MosaicML's and LitData's guides take.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data:
  """What to read.

  Attributes:
    data_dir: Of the built data set.
    images: How many of its first examples.
    batch_size: How many in a batch.
    folder: The same images as files, `NUMBER.jpg`, and, shared out among them,
      in tars, `NUMBER.tar`.
  """

  data_dir: str
  images: int
  batch_size: int
  folder: pathlib.Path

  @property
  def split(self) -> str:
    """The examples, as TFDS names them."""
    return f'validation[:{self.images}]'

  def files(self) -> list[str]:
    """The images' paths, in order."""
    return sorted(str(path) for path in self.folder.glob('*.jpg'))


# Gives the batches' sizes of one epoch.
Epoch = Callable[[], Iterator[int]]
# A path and a label.
_Labelled = tuple[str, int]


def sizes(dataset: Any) -> Iterator[int]:
  """Yields the batches' sizes; a batch is images and labels, or a dict."""
  for batch in dataset:
    yield len(batch['label'] if isinstance(batch, dict) else batch[1])


# --- write ---


def _sample(labelled: _Labelled) -> dict[str, Any]:
  path, label = labelled
  return {'image': pathlib.Path(path).read_bytes(), 'label': label}


def write_webdataset(files: Sequence[_Labelled], out: pathlib.Path) -> None:
  """Writes tars of a thousand images, as `ShardWriter` does by default."""
  import webdataset

  with webdataset.ShardWriter(f'{out}/%06d.tar', maxcount=1000) as sink:
    for i, labelled in enumerate(files):
      sample = _sample(labelled)
      jpg, cls = sample['image'], sample['label']
      sink.write({'__key__': f'{i:08d}', 'jpg': jpg, 'cls': cls})


def write_mosaic(files: Sequence[_Labelled], out: pathlib.Path) -> None:
  """Writes MosaicML's MDS files."""
  import streaming

  columns = {'image': 'bytes', 'label': 'int'}
  with streaming.MDSWriter(out=os.fspath(out), columns=columns) as writer:
    for labelled in files:
      writer.write(_sample(labelled))


def write_litdata(files: Sequence[_Labelled], out: pathlib.Path) -> None:
  """Writes LitData's chunks, on all processors."""
  import litdata

  litdata.optimize(
    fn=_sample,
    inputs=list(files),
    output_dir=os.fspath(out),
    num_workers=WORKERS,
    chunk_bytes=_CHUNK_BYTES,
  )


def write_arrow(files: Sequence[_Labelled], out: pathlib.Path) -> None:
  """Writes Arrow files by Hugging Face's `datasets`."""
  import datasets

  features = {'image': datasets.Image(), 'label': datasets.Value('int64')}
  datasets.Dataset.from_generator(
    lambda: map(_sample, files),
    features=datasets.Features(features),
    cache_dir=f'{out}/cache',
  ).save_to_disk(out / 'saved')


# What is imported, and who writes; by the name of the row.
WRITERS: dict[str, Callable[[Sequence[_Labelled], pathlib.Path], None]] = {
  'webdataset': write_webdataset,
  'mosaic': write_mosaic,
  'litdata': write_litdata,
  'arrow': write_arrow,
}


# --- read ---


def _written(data: Data, writer: str) -> pathlib.Path:
  out = data.folder / writer
  if not out.exists():
    out.mkdir()
    WRITERS[writer]([(path, 0) for path in data.files()], out)
  return out


def _prepare(image: Any) -> np.ndarray:
  """The same picture by Pillow, whose resizing always antialiases."""
  from PIL import Image

  scale = RESIZED / min(image.size)
  width, height = (round(side * scale) for side in image.size)
  image = image.resize((width, height), Image.Resampling.BILINEAR)
  left, top = (width - SIZE) // 2, (height - SIZE) // 2
  image = image.crop((left, top, left + SIZE, top + SIZE))
  return np.asarray(image, np.float32)


def _by_pillow(data: bytes) -> np.ndarray:
  from PIL import Image

  return _prepare(Image.open(io.BytesIO(data)).convert('RGB'))


def _by_simplejpeg(data: bytes) -> np.ndarray:
  import simplejpeg
  from PIL import Image

  if simplejpeg.decode_jpeg_header(data)[2] in ('CMYK', 'YCCK'):
    return _by_pillow(data)
  return _prepare(Image.fromarray(simplejpeg.decode_jpeg(data)))


def _decoded(sample: dict[str, Any]) -> tuple[np.ndarray, int]:
  return _by_pillow(sample['image']), sample['label']


class _Files:
  """Random access to the images: what torch and grain ask of a source."""

  def __init__(self, paths: list[str], decode: Callable[[bytes], np.ndarray]):
    self._paths, self._decode = paths, decode

  def __len__(self) -> int:
    return len(self._paths)

  def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
    return self._decode(pathlib.Path(self._paths[index]).read_bytes()), 0


def _loader(data: Data, dataset: Any) -> Epoch:
  from torch.utils import data as torch_data

  loader = torch_data.DataLoader(
    dataset, batch_size=data.batch_size, num_workers=WORKERS
  )
  return functools.partial(sizes, loader)


def _torch(data: Data, decode: Callable[[bytes], np.ndarray]) -> Epoch:
  return _loader(data, _Files(data.files(), decode))


def _webdataset(data: Data) -> Epoch:
  import webdataset

  shards = sorted(str(path) for path in data.folder.glob('*.tar'))
  dataset = webdataset.WebDataset(shards, shardshuffle=False)
  dataset = dataset.map(lambda sample: (_by_pillow(sample['jpg']), 0))
  loader = webdataset.WebLoader(
    dataset.batched(data.batch_size),
    batch_size=None,
    num_workers=min(WORKERS, len(shards)),  # Each takes whole ones.
  )
  return functools.partial(sizes, loader)


def _grain(data: Data) -> Epoch:
  import grain

  dataset = grain.MapDataset.source(_Files(data.files(), _by_pillow))
  dataset = dataset.batch(data.batch_size).to_iter_dataset()
  dataset = dataset.mp_prefetch(
    grain.multiprocessing.MultiprocessingOptions(num_workers=WORKERS)
  )
  return functools.partial(sizes, dataset)


def _mosaic(data: Data) -> Epoch:
  import streaming

  class Decoded(streaming.StreamingDataset):
    def __getitem__(self, index: Any) -> tuple[np.ndarray, int]:
      return _by_pillow(super().__getitem__(index)['image']), 0

  return _loader(
    data,
    Decoded(
      local=os.fspath(_written(data, 'mosaic')),
      shuffle=False,
      batch_size=data.batch_size,
    ),
  )


def _litdata(data: Data) -> Epoch:
  import litdata

  loader = litdata.StreamingDataLoader(
    litdata.StreamingDataset(
      os.fspath(_written(data, 'litdata')), transform=_decoded
    ),
    batch_size=data.batch_size,
    num_workers=WORKERS,
  )
  return functools.partial(sizes, loader)


def _arrow(data: Data) -> Epoch:
  import datasets

  def prepare(batch: dict[str, Any]) -> dict[str, Any]:
    images = [_prepare(image.convert('RGB')) for image in batch['image']]
    return {'image': images, 'label': batch['label']}

  dataset = datasets.load_from_disk(_written(data, 'arrow') / 'saved')
  return _loader(data, dataset.with_transform(prepare))


READERS: dict[str, Callable[[Data], Epoch]] = {
  'torch, Pillow': functools.partial(_torch, decode=_by_pillow),
  'torch, simplejpeg': functools.partial(_torch, decode=_by_simplejpeg),
  'webdataset, Pillow': _webdataset,
  'grain, Pillow': _grain,
  'mosaic, Pillow': _mosaic,
  'litdata, Pillow': _litdata,
  'datasets, Pillow': _arrow,
}
# What they import that does not come with the package.
NEEDS = {
  'torch, Pillow': ('torch', 'PIL'),
  'torch, simplejpeg': ('torch', 'PIL'),
  'webdataset, Pillow': ('webdataset', 'torch', 'PIL'),
  'grain, Pillow': ('grain', 'PIL'),
  'mosaic, Pillow': ('streaming', 'torch', 'PIL'),
  'litdata, Pillow': ('litdata', 'torch', 'PIL'),
  'datasets, Pillow': ('datasets', 'torch', 'PIL'),
}


if __name__ == '__main__':
  writer, images, label_file, out = sys.argv[1:]
  lines = pathlib.Path(label_file).read_text().splitlines()
  pairs = [line.split() for line in lines]
  files = [(os.path.join(images, name), int(label)) for name, label in pairs]
  write = WRITERS[writer]
  start = time.perf_counter()
  write(files, pathlib.Path(out))
  print(f'\nseconds: {time.perf_counter() - start}')
