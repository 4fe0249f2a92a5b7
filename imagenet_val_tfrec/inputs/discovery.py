"""Finds the images and the labels in what people have in one folder."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import os
import tarfile
import zlib
from typing import IO, Any

from imagenet_val_tfrec.core import errors, storage
from imagenet_val_tfrec.inputs import imagenet, sources
from imagenet_val_tfrec.inputs import labels as labels_lib

TAR = 'ILSVRC2012_img_val.tar'
IMAGES = (
  TAR,
  'val_images',
  'ILSVRC2012_img_val',
  'val',
  'ILSVRC/Data/CLS-LOC/val',
)
INSTRUCTIONS = f"""\
Put the validation images of ImageNet-2012 in manual_dir, as one of:
  {TAR}, read in place (from https://image-net.org/download-images)
  a folder of images: {', '.join(IMAGES[1:])}
and, if you like, a label file: val.txt, caffe_ilsvrc12.tar.gz or
LOC_val_solution.csv. Without one, the true labels are used, which ship with
tensorflow-datasets. Then:
  tfds build imagenet_val_tfrec --manual_dir=DIR
"""
_CAFFE = 'caffe_ilsvrc12.tar.gz'
_KAGGLE = 'LOC_val_solution.csv'
LABELS = ('val.txt', _CAFFE, _KAGGLE)
# Caffe's archive has 17 MB, and some 100 when unpacked; its val.txt, 1.6.
_MOST_UNPACKED = 128 << 20
_MOST_LABELS = 8 << 20
_CHUNK = 1 << 16

_FIRST_NAME = imagenet.official_name(1)


def find_images(folder: str) -> sources.ImageSource:
  """Finds the validation images in a folder.

  Args:
    folder: Where to look: for the tar, then for the usual folders of images,
      then whether it is such a folder itself.

  Returns:
    The first that is there.

  Raises:
    FileNotFoundError: if nothing fits; says what was looked for, what is
      there, and what to do.
  """
  for name in IMAGES:
    path = os.path.join(folder, name)
    if storage.exists(path):
      return sources.open_source(path)
  found = storage.names_in(folder) if storage.is_folder(folder) else None
  if found and any(imagenet.is_official(name) for name in found):
    return sources.open_source(folder)
  if found is None:
    there = 'There is no such folder.'
  elif found:
    there = f'Found there: {errors.some(found, 8)}.'
  else:
    there = 'The folder is empty.'
  raise FileNotFoundError(
    f'No ImageNet validation images in {folder}\n'
    f'Looked for: {", ".join(IMAGES)}, {_FIRST_NAME} …\n'
    f'{there}\n'
    f'Get {TAR} (6.7 GB) from https://image-net.org/download-images, then: '
    'tfds build imagenet_val_tfrec --manual_dir=FOLDER_OF_THE_TAR'
  )


def find_label_file(folder: str) -> str | None:
  """Returns the path of the first of `LABELS` in a folder; None if none is."""
  paths = (os.path.join(folder, name) for name in LABELS)
  return next(filter(storage.exists, paths), None)


def read_labels(path: str) -> labels_lib.Labels:
  """Reads a label file of any kind: lines, Caffe's archive or Kaggle's CSV.

  Raises:
    labels.LabelError: if it cannot be used.
    FileNotFoundError: if it is not there.
  """
  state = storage.state_of(path)
  if path.endswith(('.tar.gz', '.tgz')):
    labels = _read_caffe(path)
  elif path.endswith('.csv'):
    with storage.open_file(path) as file:
      labels = labels_lib.parse_kaggle(file, path=path, wnids=imagenet.wnids())
  else:
    labels = labels_lib.read_labels(path)
  return dataclasses.replace(labels, file_state=state)


def labels_of(source: sources.ImageSource) -> labels_lib.Labels:
  """Returns the true labels, for a source of official images.

  Raises:
    errors.InputError: if its images have other names.
  """
  for entry in source.entries():
    if imagenet.is_official(entry.path):
      return imagenet.true_label_file()
  raise errors.InputError(
    f'{source.path}: no label file was given, and these are not the images of '
    'ImageNet; say label_file in the config: one "NAME LABEL" a line'
  )


def _read_caffe(path: str) -> labels_lib.Labels:
  """Reads `val.txt` out of Caffe's `caffe_ilsvrc12.tar.gz`."""
  content = None
  try:
    with contextlib.ExitStack() as stack:
      file = stack.enter_context(storage.open_file(path))
      packed = file.read(2) == b'\x1f\x8b'  # Some browsers unpack it.
      file.seek(0)
      unpacked: Any = file
      if packed:
        unpacked = stack.enter_context(gzip.GzipFile(fileobj=file))
      limited: Any = _Limited(unpacked, path)
      tar = stack.enter_context(tarfile.open(fileobj=limited, mode='r|'))
      for member in tar:
        if content is None and os.path.basename(member.name) == 'val.txt':
          content = _read_val_txt(tar, member, path)
      while limited.read(_CHUNK):  # The checksum of all stands at the end.
        pass
  except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error) as e:
    raise labels_lib.LabelError(f'{path}: the archive is damaged: {e}') from e
  if content is None:
    raise labels_lib.LabelError(f'{path}: there is no val.txt in it')
  return labels_lib.parse_labels(io.BytesIO(content), path=f'{path}/val.txt')


def _read_val_txt(
  tar: tarfile.TarFile, member: tarfile.TarInfo, path: str
) -> bytes:
  file = tar.extractfile(member) if member.isfile() else None
  if file is None or member.size > _MOST_LABELS:
    what = f'a file of {member.size:,} bytes' if file else 'no plain file'
    raise labels_lib.LabelError(
      f'{path}: its val.txt is {what}, expected a file of 1.6 MB'
    )
  return file.read()


class _Limited:
  """A stream that is an error when it is longer than Caffe's archive."""

  def __init__(self, stream: IO[bytes], path: str):
    self._stream = stream
    self._path = path
    self._left = _MOST_UNPACKED

  def read(self, size: int) -> bytes:
    data = self._stream.read(size)
    self._left -= len(data)
    if self._left < 0:
      raise labels_lib.LabelError(
        f'{self._path}: unpacks to more than {_MOST_UNPACKED:,} bytes, '
        f'expected the {_CAFFE} of some 100 MB'
      )
    return data
