"""What a file is, by its first bytes, and what to do where it is the wrong one.

The one table of magic numbers. A label file or a tar begins with a file name.
So letters alone do not count: `BM` needs the zeros of a BMP header, too.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_ENOUGH = 512  # Bytes.


class Kind(NamedTuple):
  """A kind of file, such as 'a PNG image', and what to do with it, or ''.

  In the advice `{}` is its path.
  """

  words: str
  advice: str = ''


def _packed(name: str, command: str) -> Kind:
  return Kind(f'a {name} file', f'unpack it first: {command}')


def _wide(bits: int) -> Kind:
  advice = f'convert it: iconv -f UTF-{bits} -t UTF-8 {{}} > NEW'
  return Kind(f'UTF-{bits} text', advice)


_UTF_16 = _wide(16)
# Two plain letters of it at the start, or a label at the end of a line.
_UTF_16_TEXT = re.compile(
  rb'\A(?:[^\0]\0){2}|\A(?:\0[^\0]){2}'
  rb'|[ \t]\0(?:[0-9]\0)+(?:\r\0)?(?:\n|\Z)'
  rb'|\0[ \t](?:\0[0-9])+(?:\0\r)?(?:\0\n|\Z)'
)

_KINDS = tuple(
  (re.compile(magic, re.DOTALL | re.IGNORECASE), kind)
  for magic, kind in (
    (rb'\xff\xd8\xff', Kind('a JPEG image')),
    (rb'\xff\xd8', Kind('bytes that only begin like a JPEG')),
    (rb'\x89PNG', Kind('a PNG image')),
    (rb'(?-i:GIF8[79]a)', Kind('a GIF image')),
    (rb'BM.{4}\0{4}', Kind('a BMP image')),
    (rb'II\*\0|MM\0\*', Kind('a TIFF image')),
    (rb'(?-i:RIFF.{4}WEBP)', Kind('a WebP image')),
    (
      rb'.{4}ftyp(avif|avis|hei[cmsx]|hev[cmsx]|mif1|msf1)',
      Kind('an AVIF or HEIC image'),
    ),
    (rb'\0\0\0\x0cjP', Kind('a JPEG 2000 image')),
    (rb'\xff\x0a', Kind('a JPEG XL image')),
    (rb'%PDF-', Kind('a PDF document')),
    (rb'\x1f\x8b', _packed('gzip', 'gzip -dc {} > NEW')),
    (rb'BZh[1-9]1AY&SY', _packed('bzip2', 'bzip2 -dc {} > NEW')),
    (rb'\xfd7zXZ\0', _packed('xz', 'xz -dc {} > NEW')),
    (rb'\x28\xb5\x2f\xfd', _packed('zstd', 'zstd -dc {} > NEW')),
    (rb'PK\x03\x04', _packed('zip', 'unzip {}')),
    (rb"7z\xbc\xaf'\x1c", _packed('7-zip', '7z x {}')),
    (rb'Rar!\x1a\x07', _packed('RAR', 'unrar x {}')),
    (rb'\xff\xfe\0\0', _wide(32)),
    (rb'\xff\xfe|\xfe\xff', _UTF_16),
    (
      rb'version https://git-lfs',
      Kind('a Git LFS pointer', 'fetch the file: git lfs pull'),
    ),
    (rb'\s*<(!doctype|html|\?xml|svg|head)', Kind('an HTML or XML page')),
  )
)


def kind_of(start: bytes) -> Kind | None:
  """Returns what a file is, by its first bytes; None if that is not known."""
  start = start[:_ENOUGH]
  return next((kind for magic, kind in _KINDS if magic.match(start)), None)


def kind_of_text(text: bytes) -> Kind | None:
  """As `kind_of`, of what should be lines of text; UTF-16 needs no mark."""
  is_utf_16 = b'\0' in text and _UTF_16_TEXT.search(text)
  return _UTF_16 if is_utf_16 else kind_of(text)


def describe(start: bytes) -> str:
  """Says what a file is, by its first bytes, and what to do with it."""
  if kind := kind_of(start):
    return f'{kind.words} ({kind.advice.format("FILE")})'.removesuffix(' ()')
  if not start:
    return 'an empty file'
  start = start[:_ENOUGH]
  if not start.strip(b'\0'):
    return 'zero bytes only'
  if start.isascii() and start.decode('ascii').replace('\n', ' ').isprintable():
    return 'plain text'
  return 'something else'
