"""Finds the images and the labels in what people have in one folder."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from typing import IO

from imagenet_val_tfrec import (
  errors,
  imagenet,
  names,
  sources,
  storage,
  tar_index,
)
from imagenet_val_tfrec import labels as labels_lib

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
_MOST_UNPACKED = 256 << 20
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
    f'Get {TAR} (6.3 GB) from https://image-net.org/download-images, then: '
    'tfds build imagenet_val_tfrec --manual_dir=FOLDER_OF_THE_TAR'
  )


def find_labels(folder: str) -> labels_lib.Labels:
  """Finds the labels in a folder: the first of `LABELS`, else the true ones.

  Raises:
    labels.LabelError: if a label file is there, but cannot be used.
  """
  for name in LABELS:
    path = os.path.join(folder, name)
    if storage.exists(path):
      return read_labels(path)
  return imagenet.true_label_file()


def read_labels(path: str) -> labels_lib.Labels:
  """Reads a label file of any kind: lines, Caffe's archive or Kaggle's CSV.

  Raises:
    labels.LabelError: if it cannot be used.
    FileNotFoundError: if it is not there.
  """
  if path.endswith(('.tar.gz', '.tgz')):
    return _read_caffe(path)
  if path.endswith('.csv'):
    with storage.open_file(path) as file:
      return labels_lib.parse_kaggle(file, path=path, wnids=imagenet.wnids())
  return labels_lib.read_labels(path)


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
  if (size := storage.size_of(path)) > _MOST_UNPACKED:
    raise labels_lib.LabelError(
      f'{path}: an archive of {size:,} bytes, expected the {_CAFFE} of 17 MB'
    )
  try:
    with storage.open_file(path) as file:
      packed = file.read(2) == b'\x1f\x8b'  # Some browsers unpack it.
      file.seek(0)
      if not packed:
        return _read_val_txt(_Unpacked(file, path), path)
      with gzip.GzipFile(fileobj=file) as unpacked:
        return _read_val_txt(_Unpacked(unpacked, path), path)
  except tar_index.TarError as e:
    how = str(e).removeprefix(f'{path}: ')
  except (gzip.BadGzipFile, EOFError, zlib.error) as e:
    how = str(e)
  raise labels_lib.LabelError(f'{path}: the archive is damaged: {how}')


def _read_val_txt(reader: _Unpacked, path: str) -> labels_lib.Labels:
  content: bytes | None = None
  for member in tar_index.read_index(reader, path):
    if content is not None or not _is_val_txt(member.name):
      continue
    what = member.problem
    if not what and member.size > _MOST_LABELS:
      what = f'a file of {member.size:,} bytes'
    if what:
      raise labels_lib.LabelError(
        f'{path}: its val.txt is {what}, expected a file of 1.6 MB'
      )
    content = reader.read(member.size, member.offset)
  if content is None:
    raise labels_lib.LabelError(f'{path}: there is no val.txt in it')
  reader.read_on(_MOST_UNPACKED)  # The checksum of all stands at the end.
  return labels_lib.parse_labels(io.BytesIO(content), path=f'{path}/val.txt')


def _is_val_txt(name: str) -> bool:
  return names.normalise(name).rpartition('/')[2] == 'val.txt'


class _Unpacked:
  """A `RandomReader` of a stream that can be read onwards only.

  But for its first block, which is read twice: for what it is, and as a header.
  """

  mtime_ns = 0
  size = _MOST_UNPACKED  # At most; what is unpacked ends where it ends.

  def __init__(self, file: IO[bytes] | gzip.GzipFile, path: str):
    self._file = file
    self._path = path
    self._position = 0
    self._first = b''

  def read(self, size: int, offset: int) -> bytes:
    if offset + size > self.size:
      raise labels_lib.LabelError(
        f'{self._path}: unpacks to more than {self.size:,} bytes, expected the '
        f'{_CAFFE} of some 100 MB'
      )
    if offset < self._position:
      if offset or size > tar_index.BLOCK:
        raise ValueError(f'byte {offset} was passed at {self._position}')
      return self._first[:size]
    self.read_on(offset)
    data = self._file.read(size)
    if not self._position:
      self._first = data
    self._position += len(data)
    return data

  def read_on(self, offset: int) -> None:
    """Reads up to a place, or to the end, and drops it."""
    while self._position < offset:
      skipped = len(self._file.read(min(_CHUNK, offset - self._position)))
      if not skipped:
        return
      self._position += skipped

  def close(self) -> None:
    pass
