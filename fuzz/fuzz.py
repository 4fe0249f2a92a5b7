"""Fuzzes a reader, guided by coverage, with Atheris.

    pip install . atheris
    python fuzz/fuzz.py jpeg -max_total_time=600
    python fuzz/fuzz.py tar -max_total_time=600
    python fuzz/fuzz.py images -max_total_time=600

Starts from the seeds in `fuzz/jpeg.zip` and so on, which `tests/fuzz_test.py`
runs as well. An input that fails is written to `crash-…`
in this folder: fix the reader, and keep the file. To add new seeds:

    python fuzz/fuzz.py jpeg --keep

Other flags are libFuzzer's: https://llvm.org/docs/LibFuzzer.html#options
"""

from __future__ import annotations

import pathlib
import struct
import sys
import zipfile
import zlib

import atheris

_HERE = pathlib.Path(__file__).parent

with atheris.instrument_imports(
  include=[
    'imagenet_val_tfrec.records.jpeg',
    'imagenet_val_tfrec.records.images',
    'imagenet_val_tfrec.inputs.tar_index',
  ]
):
  import targets


def main() -> None:
  """Runs the target that the command line names."""
  what, *flags = sys.argv[1:]
  seeds = _HERE / f'{what}.zip'
  corpus = _HERE / f'corpus_{what}'
  corpus.mkdir(exist_ok=True)
  if seeds.exists():
    with zipfile.ZipFile(seeds) as archive:
      archive.extractall(corpus)
  if flags == ['--keep']:
    _keep(corpus, seeds)
    return
  arguments = [sys.argv[0], str(corpus), f'-artifact_prefix={_HERE}/', *flags]
  if what == 'jpeg':
    atheris.Setup(arguments, targets.check_jpeg)
  elif what == 'images':
    atheris.Setup(arguments, targets.check_images, custom_mutator=_mutate_png)
  else:
    atheris.Setup(arguments, targets.check_tar, custom_mutator=_mutate_tar)
  atheris.Fuzz()


def _mutate_tar(data: bytes, max_size: int, seed: int) -> bytes:
  """Changes a tar somehow, but lets the checksums of its headers be right."""
  del seed
  changed = bytearray(atheris.Mutate(data, max_size))
  for start in range(0, len(changed) - 511, 512):
    block = changed[start : start + 512]
    if block[257:262] == b'ustar':
      block[148:156] = b' ' * 8
      block[148:156] = b'%06o\0 ' % sum(block)
      changed[start : start + 512] = block
  return bytes(changed)


def _mutate_png(data: bytes, max_size: int, seed: int) -> bytes:
  """Changes an image; if it is a PNG, most checksums of chunks are right."""
  changed = bytearray(atheris.Mutate(data, max_size))
  position = 8
  while (
    changed[:4] == b'\x89PNG' and seed % 8 and position + 12 <= len(changed)
  ):
    (length,) = struct.unpack_from('>I', changed, position)
    end = position + 8 + length
    if end + 4 > len(changed):
      break
    struct.pack_into(
      '>I', changed, end, zlib.crc32(changed[position + 4 : end])
    )
    position = end + 4
  return bytes(changed)


def _keep(corpus: pathlib.Path, seeds: pathlib.Path) -> None:
  """Packs the corpus; the same files give the same bytes."""
  with zipfile.ZipFile(seeds, 'w', zipfile.ZIP_DEFLATED) as archive:
    for path in sorted(corpus.iterdir()):
      entry = zipfile.ZipInfo(path.name)
      entry.compress_type = zipfile.ZIP_DEFLATED
      archive.writestr(entry, path.read_bytes())


if __name__ == '__main__':
  main()
