"""Makes inputs: pictures, folders, tars and label files; and builds of them."""

from __future__ import annotations

import functools
import io
import os
import pathlib
import struct
import tarfile
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow_datasets as tfds

import imagenet_val_tfrec

ROOT = pathlib.Path(__file__).parent.parent
DUMMY = ROOT / 'dummy_data'

# The pictures of dummy_data by what is special about them, and their numbers.
KINDS = {
  'gray': 2,
  '4:4:4': 8575,
  'restart': 12310,
  'cmyk': 18230,
  'tiny': 24110,
  'progressive': 31292,
  'plain': 36416,
  'thumbnail': 49343,
}


@functools.cache
def picture(kind: str = 'plain') -> bytes:
  """Returns the bytes of a JPEG of that kind."""
  name = f'ILSVRC2012_val_{KINDS[kind]:08d}.JPEG'
  return (DUMMY / 'val_images' / name).read_bytes()


def pictures() -> list[bytes]:
  """Returns one JPEG of each kind."""
  return [picture(kind) for kind in KINDS]


def varint(value: int) -> bytes:
  """Returns a number of 0 or more as protobuf writes it."""
  more = value >> 7
  return bytes([value & 0x7F | 0x80 * bool(more)]) + (
    varint(more) if more else b''
  )


# --- JPEGs by hand ---


def segment(marker: int, content: bytes = b'', length: int | None = None):
  """Returns a JPEG segment; `length` is what it claims to be long."""
  if length is None:
    length = len(content) + 2
  return struct.pack('>BBH', 0xFF, marker, length) + content


def frame(
  height: int = 3,
  width: int = 5,
  chans: int = 3,
  *,
  marker: int = 0xC0,
  precision: int = 8,
  sampling: int = 0x11,
) -> bytes:
  """Returns a start-of-frame segment."""
  content = struct.pack('>BHHB', precision, height, width, chans)
  for i in range(chans):
    content += bytes([i + 1, sampling, 0])
  return segment(marker, content)


def scan(chans: int = 3) -> bytes:
  """Returns a start-of-scan segment, and a little coded data."""
  content = bytes([chans])
  for i in range(chans):
    content += bytes([i + 1, 0])
  return segment(0xDA, content + b'\0\x3f\0') + b'\x12\x34\xff\0\x56'


SOI = b'\xff\xd8'
EOI = b'\xff\xd9'
ADOBE = segment(0xEE, b'Adobe\0\x64\0\0\0\0\0')


def jpeg(*segments: bytes) -> bytes:
  """Returns a JPEG of these segments; by default a plain one's."""
  return SOI + b''.join(segments or [frame(), scan()]) + EOI


# --- files ---


def write_folder(folder: pathlib.Path, files: Mapping[str, bytes]):
  """Writes files, by their names below the folder; returns the folder."""
  folder.mkdir(parents=True, exist_ok=True)
  for name, content in files.items():
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
  return folder


def member(name: str, size: int = 0, **fields) -> tarfile.TarInfo:
  """Returns a tar member; `fields` are those of `TarInfo`."""
  info = tarfile.TarInfo(name)
  info.size = size
  for field, value in fields.items():
    setattr(info, field, value)
  return info


def tar_bytes(
  files: Mapping[str, bytes] | Iterable[tuple[str | tarfile.TarInfo, bytes]],
  format: int = tarfile.USTAR_FORMAT,
) -> bytes:
  """Returns a tar of these files, or members and their contents."""
  out = io.BytesIO()
  if isinstance(files, Mapping):
    files = files.items()
  with tarfile.open(fileobj=out, mode='w', format=format) as tar:
    for name, content in files:
      info = name if isinstance(name, tarfile.TarInfo) else member(name)
      if info.isreg():
        info.size = len(content)
      tar.addfile(info, io.BytesIO(content))
  return out.getvalue()


def tar_member(
  content: bytes = b'',
  *,
  at: Mapping[int, bytes] | None = None,
  signed: bool = False,
  format: int = tarfile.GNU_FORMAT,
  **fields,
) -> bytes:
  """Returns a member and its content as they stand in a tar.

  Args:
    content: Of the file.
    at: Other bytes of the header, by their place.
    signed: Whether the checksum is the sum of signed bytes.
    format: As in `tarfile`.
    **fields: Those of `TarInfo`; a name and the size are there.
  """
  info = member(**{'name': 'a.jpg', 'size': len(content), **fields})
  before, header = (found := info.tobuf(format))[:-512], bytearray(found[-512:])
  for place, value in {**(at or {}), 148: b' ' * 8}.items():
    header[place : place + len(value)] = value
  total = sum(memoryview(header).cast('b')) if signed else sum(header)
  header[148:156] = b'%06o\0 ' % total
  return before + header + content + bytes(-len(content) % 512)


def write_tar(path: pathlib.Path, files, **options) -> pathlib.Path:
  """Writes `tar_bytes(files)`; returns the path."""
  path.write_bytes(tar_bytes(files, **options))
  return path


def many(number: int) -> dict[str, bytes]:
  """Returns that many pictures, by made-up names."""
  every = pictures()
  return {f'p{i:05d}.jpg': every[i % len(every)] for i in range(number)}


def label_text(names: Iterable[str], num_classes: int = 7) -> str:
  """Returns a label file for these names."""
  return ''.join(f'{name} {i % num_classes}\n' for i, name in enumerate(names))


# --- builds ---


def build(
  data_dir: pathlib.Path,
  *,
  image_dir: str | os.PathLike[str] | None = None,
  label_file: str | os.PathLike[str] | None = None,
  options: Mapping[str, object] | None = None,
  **config,
) -> imagenet_val_tfrec.Builder:
  """Builds `imagenet_val_tfrec/made` in `data_dir`.

  Args:
    data_dir: Where.
    image_dir: As in the config.
    label_file: As in the config.
    options: Of TFDS's `DownloadConfig`.
    **config: The rest of the config.

  Returns:
    The builder.
  """
  builder = imagenet_val_tfrec.Builder(
    data_dir=data_dir,
    config=imagenet_val_tfrec.ImagenetValTfrecConfig(
      name='made', image_dir=image_dir, label_file=label_file, **config
    ),
  )
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(**(options or {}))
  )
  return builder


def labels_in(
  builder: imagenet_val_tfrec.Builder, split: str = 'validation'
) -> list[Any]:
  """Returns the labels in a dataset, in order, or its lists of them."""
  dataset = builder.as_dataset(
    split=split, decoders={'image': tfds.decode.SkipDecoding()}
  )
  label = 'label' if 'label' in builder.info.features else 'labels'
  return [e[label].tolist() for e in dataset.as_numpy_iterator()]


def left_behind(data_dir: pathlib.Path) -> list[str]:
  """Returns version folders and half-done things below a data_dir.

  But for TFDS's `.config`, whose file it leaves half-done itself if killed.
  """
  found = [*data_dir.rglob('1.0.0*'), *data_dir.rglob('*incomplete*')]
  return sorted(
    str(path.relative_to(data_dir))
    for path in found
    if path.parent.name != '.config'
  )
