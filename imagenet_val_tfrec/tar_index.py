"""Where the files in a tar are, without extracting it.

Reads the headers alone. Formats: POSIX.1-1988 (ustar), POSIX.1-2001 (pax) and
GNU, as in `pax(1)` of POSIX.1-2017 and the GNU tar manual, "Basic Tar Format".
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator

from imagenet_val_tfrec import errors, storage

_BLOCK = 512
_ZEROS = bytes(_BLOCK)
_MAX_EXTENDED = 1 << 20  # Bytes of a pax or GNU long-name header.
_REGULAR = b'0\0' + b'7'
_WITHOUT_DATA = {
  b'1': 'a hard link',
  b'2': 'a symbolic link',
  b'3': 'a device',
  b'4': 'a device',
  b'5': 'a folder',
  b'6': 'a FIFO',
}
_COMPRESSED = (
  (b'\x1f\x8b', 'gzip', 'gunzip -k'),
  (b'BZh', 'bzip2', 'bunzip2 -k'),
  (b'\xfd7zXZ', 'xz', 'unxz -k'),
  (b'\x28\xb5\x2f\xfd', 'zstd', 'unzstd -k'),
  (b'PK\x03\x04', 'zip', 'unzip'),
)


class TarError(errors.InputError):
  """A tar that is damaged, cut or compressed; the message says where."""


@dataclasses.dataclass(frozen=True, slots=True)
class Member:
  """One member of a tar.

  Attributes:
    name: As in the header.
    offset: Of its first byte of data in the tar.
    size: Of its data in bytes.
    problem: What it is if it is not a plain file, else ''.
  """

  name: str
  offset: int
  size: int
  problem: str


def read_index(reader: storage.RandomReader, path: str) -> Iterator[Member]:
  """Yields the members in the order in which they stand.

  Args:
    reader: The open tar.
    path: Of the tar, for messages.

  Raises:
    TarError: if the tar is compressed, cut in a header, in data or before the
      two zero blocks that end it, or if a header does not match its checksum.
  """
  _refuse_compressed(reader, path)
  position = 0
  pax_global: dict[str, str] = {}
  pax: dict[str, str] = {}
  while True:
    block = reader.read(_BLOCK, position)
    if block == _ZEROS:
      if reader.read(_BLOCK, position + _BLOCK) != _ZEROS:
        raise TarError(
          _cut(path, position, 'its end is one zero block, not two')
        )
      return
    if len(block) < _BLOCK:
      where = 'within a header' if block else 'before its end-of-archive blocks'
      raise TarError(_cut(path, position, f'the file ends {where}'))
    _check_sum(block, path, position)
    kind = block[156:157]
    size = _size(block, pax, path, position)
    data = position + _BLOCK
    if kind in _WITHOUT_DATA:
      size = 0
    after = data + -(-size // _BLOCK) * _BLOCK
    if data + size > reader.size:
      raise TarError(
        _cut(path, position, f'a member promises {size:,} bytes of data')
      )
    if kind in b'xgLK':
      extended = _extended(reader, kind, data, size, path, position)
      (pax_global if kind == b'g' else pax).update(extended)
    else:
      names = pax_global | pax
      yield Member(
        names.get('path') or _name(block), data, size, _problem(kind, names)
      )
      pax = {}
    position = after


def _refuse_compressed(reader: storage.RandomReader, path: str) -> None:
  start = reader.read(_BLOCK, 0)
  if not start:
    raise TarError(f'{path}: an empty file, expected a tar')
  for magic, name, command in _COMPRESSED:
    if start.startswith(magic):
      raise TarError(
        f'{path}: compressed with {name}, so its images cannot be read in '
        f'place. Unpack it first: {command} {path}'
      )


def _cut(path: str, position: int, how: str) -> str:
  return (
    f'{path}: the tar is cut: {how} (header at byte {position:,}). Copy or '
    'download it again'
  )


def _check_sum(block: bytes, path: str, position: int) -> None:
  # Adler-32's low half is 1 plus the sum of the bytes, modulo 65521: ten times
  # as fast as sum(). The field itself counts as eight spaces.
  field = block[148:156]
  total = (zlib.adler32(block) & 0xFFFF) - 1 - sum(field) + 8 * 32
  try:
    stored = int(field.strip(b' \0') or b'0', 8)
  except ValueError:
    stored = -1
  if stored < 0 or (stored - total) % 65521:
    if position == 0:
      raise TarError(f'{path}: not a tar (the first header has no checksum)')
    raise TarError(
      f'{path}: the tar is damaged: the header at byte {position:,} does not '
      'match its checksum. Copy or download it again'
    )


def _size(block: bytes, pax: dict[str, str], path: str, position: int) -> int:
  if 'size' in pax:
    text: bytes = pax['size'].encode()
    base = 10
  elif block[124] & 0x80:  # GNU: a binary number.
    return int.from_bytes(block[125:136], 'big')
  else:
    text, base = block[124:136].strip(b' \0') or b'0', 8
  if not text.isdigit():
    raise TarError(
      f'{path}: the tar is damaged: the header at byte {position:,} holds no '
      'size'
    )
  return int(text, base)


def _name(block: bytes) -> str:
  name = block[:100].partition(b'\0')[0]
  if block[257:263] == b'ustar\0' and block[345]:
    name = block[345:500].partition(b'\0')[0] + b'/' + name
  return name.decode('utf-8', 'surrogateescape')


def _problem(kind: bytes, pax: dict[str, str]) -> str:
  if kind == b'S' or any(key.startswith('GNU.sparse') for key in pax):
    return 'a sparse file'
  if kind in _WITHOUT_DATA:
    return _WITHOUT_DATA[kind]
  if kind not in (b'0', b'\0', b'7'):
    return f'a member of unknown type {kind!r}'
  return ''


def _extended(
  reader: storage.RandomReader,
  kind: bytes,
  data: int,
  size: int,
  path: str,
  position: int,
) -> dict[str, str]:
  """Reads what a pax or GNU header says of the next member (or of all)."""
  if size > _MAX_EXTENDED:
    raise TarError(
      f'{path}: the tar is damaged: the extended header at byte {position:,} '
      f'claims {size:,} bytes'
    )
  content = reader.read(size, data)
  if kind == b'L':
    name = content.partition(b'\0')[0].decode('utf-8', 'surrogateescape')
    return {'path': name}
  if kind == b'K':  # A link's target.
    return {}
  found = {}
  while content.strip(b'\0'):
    length, _, rest = content.partition(b' ')
    if not length.isdigit() or not len(length) < int(length) <= len(content):
      raise TarError(
        f'{path}: the tar is damaged: the extended header at byte '
        f'{position:,} cannot be read'
      )
    key, _, value = rest[: int(length) - len(length) - 2].partition(b'=')
    found[key.decode('utf-8', 'replace')] = value.decode(
      'utf-8', 'surrogateescape'
    )
    content = content[int(length) :]
  return found
