"""Where the files in a tar are, without extracting it.

Reads the headers alone. Formats: POSIX.1-1988 (ustar), POSIX.1-2001 (pax) and
GNU, as in `pax(1)` of POSIX.1-2017 and the GNU tar manual, "Basic Tar Format".
Python's `tarfile` would keep an object for each file in memory:
https://github.com/python/cpython/issues/102120
"""

from __future__ import annotations

import shlex
import zlib
from collections.abc import Generator

from imagenet_val_tfrec.core import errors, magic, storage
from imagenet_val_tfrec.inputs import entries

BLOCK = 512
END = 2 * BLOCK  # Bytes of zeros that end a tar.
_MAX_EXTENDED = 1 << 20  # Bytes of a pax or GNU long-name header.
_MAX_DIGITS = 20
_FILES = (b'0', b'\0', b'7')
# What has a header only, whatever its size field says.
_WITHOUT_DATA = {
  b'1': 'a hard link',
  b'2': 'a symbolic link',
  b'3': 'a device',
  b'4': 'a device',
  b'5': 'a folder',
  b'6': 'a FIFO',
}
# Headers that speak of the next member; 'X' is Solaris's 'x'.
_GLOBAL, _LONG_NAME, _LONG_LINK = b'g', b'L', b'K'
_EXTENDED = (b'x', b'X', _GLOBAL, _LONG_NAME, _LONG_LINK)
_SPARSE = b'S'
# Where a GNU sparse header, and a block that continues it, says that a block
# follows that is not counted in the size.
_SPARSE_GOES_ON, _BLOCK_GOES_ON = 482, 504


class TarError(errors.InputError):
  """A tar that is damaged, cut or compressed; the message says where."""


def read_index(
  reader: storage.RandomReader, path: str
) -> Generator[entries.Entry, None, int]:
  """Yields the members in the order in which they stand.

  Returns where the tar ends: where the file does, or zeros begin. That `END`
  bytes of them are there, and nothing behind them, is for the caller to see.
  Raises TarError if it is no tar, compressed, cut or damaged.
  """
  _refuse_others(reader, path)
  position = 0
  pax_global: dict[str, str] = {}
  pax: dict[str, str] = {}
  kind = _GLOBAL
  while True:
    block = reader.read(BLOCK, position)
    if not any(block):
      if kind in _EXTENDED and kind != _GLOBAL:
        raise _cut(path, position, 'it ends between a name and its member')
      return position
    if len(block) < BLOCK:
      raise _cut(path, position, 'it ends within a header')
    if not _sums_up(block):
      raise _damaged(path, position, 'does not match its checksum')
    kind = block[156:157]
    data = position + BLOCK
    if kind in _EXTENDED:
      size = _size(block, {}, path, position)
    elif kind in _WITHOUT_DATA:
      size = 0
    else:
      size = _size(block, pax, path, position)
      if kind == _SPARSE:
        data = _after_sparse_map(reader, block, data)
    if data + size > reader.size:
      raise _cut(path, position, f'a member promises {size:,} bytes of data')
    if kind in _EXTENDED:
      found = _extended(reader, kind, data, size, path, position)
      if kind == _GLOBAL:
        pax_global.update(found)
      else:
        pax = found | pax
    else:
      known = pax_global | pax if pax_global else pax
      name = known.get('sparse') or known.get('path') or _name(block)
      problem, name = _problem(kind, name, known), entries.normalise(name)
      yield entries.Entry(name, data, size, reader.mtime_ns, problem)
      pax = {}
    position = data + -(-size // BLOCK) * BLOCK


def _refuse_others(reader: storage.RandomReader, path: str) -> None:
  start = reader.read(BLOCK, 0)
  if not start:
    raise TarError(f'{path}: an empty file, expected a tar')
  if not any(start) or _sums_up(start):  # Its first name may look like magic.
    return
  if kind := magic.kind_of(start):
    advice = kind.advice.format(shlex.quote(path))
    what = f'{kind.words}, expected a tar; {advice}'.rstrip('; ')
    raise TarError(f'{path}: {what}')
  if len(start) == BLOCK:
    what = 'not a tar: its first header does not match its checksum'
    raise TarError(f'{path}: {what}')


def _cut(path: str, position: int, how: str) -> TarError:
  what = f'the tar is cut: {how} (header at byte {position:,})'
  return TarError(f'{path}: {what}. Copy or download it again')


def _damaged(path: str, position: int, how: str) -> TarError:
  what = f'the tar is damaged: the header at byte {position:,} {how}'
  return TarError(f'{path}: {what}. Copy or download it again')


def _sums_up(block: bytes) -> bool:
  field = block[148:156]
  stored = _octal(field)
  if stored is None:
    return False
  stored += sum(field) - 8 * 32  # It counts as eight spaces.
  # Adler-32's low half is 1 plus the sum of the bytes, modulo 65521: ten times
  # as fast as sum(). Old Suns added up signed bytes.
  return (stored + 1) % 65521 == zlib.adler32(block) & 0xFFFF or (
    stored == sum(memoryview(block).cast('b'))
  )


def _octal(field: bytes) -> int | None:
  """Returns the number in a field of octal digits, None if it holds none."""
  digits = field.partition(b'\0')[0].strip(b' ') or b'0'
  try:
    return int(digits, 8) if digits.isdigit() else None
  except ValueError:  # An 8 or a 9.
    return None


def _size(block: bytes, pax: dict[str, str], path: str, position: int) -> int:
  if 'size' in pax:
    return int(pax['size'])
  if block[124] & 0x80:  # GNU: a binary number.
    return int.from_bytes(block[124:136], 'big') - (0x80 << 88)
  size = _octal(block[124:136])
  if size is None:
    raise _damaged(path, position, 'holds no size')
  return size


def _name(block: bytes) -> str:
  name = block[:100].partition(b'\0')[0]
  if block[257:263] == b'ustar\0' and block[345]:
    name = block[345:500].partition(b'\0')[0] + b'/' + name
  return _text(name)


def _text(raw: bytes) -> str:
  return raw.decode('utf-8', 'surrogateescape')


def _problem(kind: bytes, name: str, pax: dict[str, str]) -> str:
  if kind == _SPARSE or 'sparse' in pax:
    return 'a sparse file'
  if kind in _WITHOUT_DATA:
    return _WITHOUT_DATA[kind]
  if name.endswith('/'):  # So the oldest tars mark a folder.
    return 'a folder'
  if kind not in _FILES:
    return f'a member of unknown type {kind!r}'
  return ''


def _after_sparse_map(
  reader: storage.RandomReader, block: bytes, position: int
) -> int:
  """Returns where the data starts, behind the blocks that go on the header."""
  flag = _SPARSE_GOES_ON
  while len(block) == BLOCK and block[flag]:
    block, flag = reader.read(BLOCK, position), _BLOCK_GOES_ON
    position += BLOCK
  return position


def _extended(
  reader: storage.RandomReader,
  kind: bytes,
  data: int,
  size: int,
  path: str,
  position: int,
) -> dict[str, str]:
  """Returns what an extended header says: path, size, and if it is sparse."""
  if size > _MAX_EXTENDED:
    raise _damaged(path, position, f'claims {size:,} bytes of names')
  content = reader.read(size, data)
  if kind == _LONG_NAME:
    return {'path': _text(content.partition(b'\0')[0])}
  if kind == _LONG_LINK:
    return {}
  found = {}
  start = 0
  # Records of "LENGTH KEY=VALUE\n", each as long as it says, in decimal.
  while start < len(content) and content[start]:
    digits = content[start : start + _MAX_DIGITS].partition(b' ')[0]
    length = int(digits) if digits.isdigit() else 0
    end = start + length
    record = content[start + len(digits) + 1 : max(start, end - 1)]
    key, equals, value = record.partition(b'=')
    if end > len(content) or not equals:
      raise _damaged(path, position, 'is followed by names that make no sense')
    if key == b'path':
      found['path'] = _text(value)
    elif key == b'size':
      digits = value.lstrip(b'0')
      if not value.isdigit() or len(digits) > _MAX_DIGITS or kind == _GLOBAL:
        raise _damaged(path, position, 'is followed by a size that is none')
      found['size'] = digits.decode() or '0'
    elif key == b'GNU.sparse.name':
      found['sparse'] = _text(value)
    elif key.startswith(b'GNU.sparse.'):
      found.setdefault('sparse', '')
    start = end
  return found
