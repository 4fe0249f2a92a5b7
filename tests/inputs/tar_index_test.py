"""The tar index: what `tarfile` and GNU tar find, and every damage named."""

import ast
import contextlib
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tarfile

import hypothesis
import making
import pytest
import targets
from hypothesis import strategies as st
from making import tar_member as raw

from imagenet_val_tfrec.inputs import entries, sources, tar_index

PAX, USTAR = tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT
pytestmark = pytest.mark.filterwarnings('error:.*the tar is not finished')
B = raw(b'b', name='b')
END = bytes(1024)
GNU_TAR = bool(shutil.which('tar')) and (
  b'GNU tar' in subprocess.run(['tar', '--version'], capture_output=True).stdout
)
needs_gnu_tar = pytest.mark.skipif(not GNU_TAR, reason='there is no GNU tar')


def index(path: pathlib.Path) -> list[entries.Entry]:
  return list(sources.TarSource(str(path)).entries())


def check(path: pathlib.Path) -> list[entries.Entry]:
  """Returns the members, which `tarfile` and GNU tar have to find as well."""
  found = index(path)
  with path.open('rb') as file:
    assert targets.by_tarfile(file) == targets.comparable(found)
  if GNU_TAR:
    check_by_gnu_tar(path, found)
  return found


# Block, type, size and quoted name; the last line has the block alone.
LISTED = re.compile(
  r'block (\d+): (?:(.)\S+ \S+ +(\S+) \S+ \S+ "(.*?[^\\]|)")?'
)


def check_by_gnu_tar(tar: pathlib.Path, found: list[entries.Entry]) -> None:
  command = ['tar', '-tvR', '--numeric-owner', '--quoting-style=c', '--file']
  listing = subprocess.run(
    [*command, tar], env={**os.environ, 'LC_ALL': 'C'}, capture_output=True
  )
  *lines, (end, *_) = LISTED.findall(listing.stdout.decode())
  if len(lines) > len(found) and lines[0][1] == 'V':
    del lines[0]  # A label in a global header, which is no member.
  position = 0
  for (block, kind, size, name), m in zip(lines, found, strict=True):
    path = os.fsdecode(ast.literal_eval(f'b"{name}"'))
    assert entries.normalise(path) == m.path
    is_file = kind in '-C' and not name.endswith('/')
    assert is_file == (not m.problem) or m.problem == 'a sparse file'
    assert m.problem or int(size) == m.size
    # In its own format what is before a header counts as a part of it.
    assert int(block) * 512 in (position, m.offset - 512)
    position = m.offset + m.size + -m.size % 512
  assert int(end) * 512 == position


# --- by hand ---


def pax(*records: tuple[str, str], type: bytes = b'x') -> bytes:
  """Returns an extended header."""
  content = b''
  for key, value in records:
    rest = f' {key}={value}\n'.encode('utf-8', 'surrogateescape')
    length = len(rest) + len(str(len(rest) + 2))
    content += str(length).encode() + rest
  return raw(content, type=type)


def binary(size: int) -> dict[int, bytes]:
  return {124: b'\x80' + size.to_bytes(11, 'big')}


V7 = {257: bytes(8)}
SPARSE = pax(('GNU.sparse.map', '0,3'), ('path', ''), ('GNU.sparse.name', 'x'))
# Members of three bytes, if any, and what they are found as.
MEMBERS = [
  (raw(type=b'1', size=99_999), 'a.jpg', 'a hard link'),
  (raw(type=b'5', size=99_999), 'a.jpg', 'a folder'),
  (raw(name='x/', type=b'\0', at=V7), 'x', 'a folder'),
  (raw(b'abc', name='x/'), 'x', 'a folder'),
  (raw(b'abc', at={124: b'%11o ' % 3} | V7), 'a.jpg', ''),
  (raw(b'abc', name='ü\udcff', signed=True), 'ü\udcff', ''),
  (raw(b'abc', name='\x1f\udc8b.jpg'), '\x1f\udc8b.jpg', ''),
  (raw(b'abc', name='BZh91AY&SY'), 'BZh91AY&SY', ''),
  (raw(b'abc', name='./x//./y.jpg'), 'x/y.jpg', ''),
  (raw(b'abc', name='/x/../y.jpg'), '/x/../y.jpg', ''),
  (raw(b'abc', name='x/' * 999 + 'y'), 'x/' * 999 + 'y', ''),
  (raw(b'abc', format=USTAR, at={345: b'x/y'}), 'x/y/a.jpg', ''),
  (raw(b'abc', at={345: b'14712345670'}), 'a.jpg', ''),  # A time.
  (pax(('path', 'ü\udcff')) + raw(b'abc'), 'ü\udcff', ''),
  (pax(('path', 'x'), type=b'X') + raw(b'abc'), 'x', ''),
  (pax(('path', 'x'), ('path', 'y')) + raw(b'abc'), 'y', ''),
  (pax(('path', 'x/')) + raw(b'abc'), 'x', 'a folder'),
  (pax(('comment', 'x=\n')) + raw(b'abc'), 'a.jpg', ''),
  (pax(('size', '3')) + raw(b'abc', size=0), 'a.jpg', ''),
  (pax(('size', f'{3:024}')) + raw(b'abc', size=0), 'a.jpg', ''),
  (pax(('path', 'x'), type=b'g') + raw(b'abc') + pax(('path', 'b')), 'x', ''),
  (raw(b'abc', type=b'S'), 'a.jpg', 'a sparse file'),
  (SPARSE + raw(b'abc'), 'x', 'a sparse file'),
]


@pytest.mark.parametrize(('member', 'name', 'problem'), MEMBERS)
def test_members(tmp_path, member, name, problem):
  (tmp_path / 'x.tar').write_bytes(member + B + END)
  found, b = check(tmp_path / 'x.tar')
  assert (found.path, found.problem) == (name, problem)
  assert found.size == 3 * (b'abc' in member)
  assert (b.path, b.size) == ('b', 1)


@st.composite
def tar_members(draw) -> bytes:
  """Draws a member of any kind, format and name."""
  kind = draw(st.sampled_from([*targets.WORDS, *b'0 \0 7 V D M Z'.split()]))
  content = b'' if kind in targets.WORDS else draw(st.binary(max_size=600))
  size = len(content)
  options = {
    'type': kind,
    'name': ''.join(draw(st.lists(st.sampled_from(PIECES), min_size=1))),
    'linkname': draw(st.sampled_from(['', 'x', 'x' * 150])),
    'signed': draw(st.booleans()),
  } | draw(
    st.sampled_from(
      [
        {'at': V7},
        {'at': binary(size)},
        {'format': USTAR},
        {'format': PAX},
        {'format': PAX, 'pax_headers': {'comment': 'x'}},
        {'format': PAX, 'pax_headers': {'size': f'{size:024}'}},
      ]
    )
  )
  try:
    return raw(content, **options)
  except ValueError:  # Ustar has no place for such a name.
    hypothesis.reject()


PIECES = ('a', 'b.jpg', 'ü', '\udcff', ' ', '\n', './', '//', '../', 'x' * 60)


@hypothesis.settings(max_examples=100)
@hypothesis.given(members=st.lists(tar_members(), max_size=6))
def test_any_members(tmp_path_factory, members):
  path = tmp_path_factory.getbasetemp() / 'any.tar'
  path.write_bytes(b''.join(members) + END)
  check(path)


@pytest.mark.parametrize('format', [tarfile.GNU_FORMAT, PAX])
def test_a_member_of_9_gigabytes(tmp_path, format):
  """Its data is a hole in the file, so it takes no room."""
  size = 9 << 30
  header = raw(size=size, format=format)
  (tmp_path / 'x.tar').write_bytes(header)
  os.truncate(tmp_path / 'x.tar', len(header) + size)
  with (tmp_path / 'x.tar').open('ab') as file:
    file.write(B + END)
  assert [m.size for m in check(tmp_path / 'x.tar')] == [size, 1]


# --- by GNU tar ---

LONG = '/'.join(['folder' * 4] * 8) + '/image.jpg'  # 210 characters.
FILES = {
  'a.jpg': b'abc',
  'b.jpg': b'',
  'c/d.jpg': bytes(512),
  'c/blüte.jpg': bytes(513),
  'c/\udcff.jpg': b'x' * 1000,
  'holes.jpg': (bytes(65536) + b'data') * 45,  # As many as three headers hold.
}
LONG_NAMES = {LONG: b'y' * 9000, 'z' * 100: b'z'}


@needs_gnu_tar
@pytest.mark.parametrize(
  'flags',
  [
    '--format=v7',
    '--format=ustar',
    '--format=oldgnu --sparse',
    '--format=gnu',
    '--format=gnu --sparse',
    '--format=gnu --label=x --incremental',
    '--format=pax',
    '--format=pax --label=x --pax-option=comment=x',
    '--format=pax --sparse --sparse-version=0.0',
    '--format=pax --sparse --sparse-version=0.1',
    '--format=pax --sparse --sparse-version=1.0',
  ],
)
def test_what_gnu_tar_writes(tmp_path, flags):
  files = FILES if 'v7' in flags else FILES | LONG_NAMES
  folder = making.write_folder(tmp_path / 'in', files)
  with (folder / 'holes.jpg').open('wb') as file:
    for _ in range(45):
      file.seek(65536, os.SEEK_CUR)
      file.write(b'data')
  (folder / 'hard').hardlink_to(folder / 'a.jpg')
  (folder / 'link').symlink_to('a.jpg')
  with contextlib.suppress(PermissionError):
    os.mkfifo(folder / 'fifo')
    os.mknod(folder / 'device', 0o20644, os.makedev(1, 3))
  command = ['tar', '-cf', '../x.tar', '--sort=name', *flags.split(), '.']
  subprocess.run(command, cwd=folder)  # In v7 it leaves out the FIFO, say.
  found = check(tmp_path / 'x.tar')
  content = (tmp_path / 'x.tar').read_bytes()
  contents = {m.path: content[m.offset : m.offset + m.size] for m in found}
  plain = [m.path for m in found if not m.problem]
  expected = set(files)
  if 'sparse' in flags:
    expected.remove('holes.jpg')
  assert set(plain) == expected
  assert all(contents[path] == files[path] for path in plain)
  problems = {m.path: m.problem for m in found if m.problem}
  assert problems['hard'] == 'a hard link'
  assert ('sparse' in flags) == (problems.get('holes.jpg') == 'a sparse file')


@needs_gnu_tar
@pytest.mark.parametrize('format', ['gnu', 'pax'])
def test_volumes(tmp_path, format):
  making.write_folder(tmp_path, {'a.jpg': bytes(30_000), 'b.jpg': b'b'})
  command = f'tar -cM -L 20 -f 1.tar -f 2.tar --format={format} a.jpg b.jpg'
  subprocess.run(command.split(), cwd=tmp_path, check=True)
  with pytest.raises(tar_index.TarError, match='promises 30,000 bytes of data'):
    index(tmp_path / '1.tar')
  rest, b = check(tmp_path / '2.tar')
  assert b.path == 'b.jpg'
  assert rest.problem if format == 'gnu' else rest.path != 'a.jpg'


# --- damage ---


def without_path(message: str, path: pathlib.Path) -> str:
  message = message.replace(shlex.quote(str(path)), 'TAR')
  return message.replace(str(path), 'TAR')


TAR = making.tar_bytes({'a.jpg': b'a' * 600, 'b.jpg': b'b' * 600})
AT_B = 512 + 1024
CUT = 'TAR: the tar is cut: '
DAMAGED = 'TAR: the tar is damaged: the header at byte'
NONSENSE = f'{DAMAGED} 0 is followed by names that make no sense'
NO_SIZE = f'{DAMAGED} 0 is followed by a size that is none'


@pytest.mark.parametrize(
  ('content', 'complaint'),
  [
    (b'', 'TAR: an empty file, expected a tar'),
    (b'a', f'{CUT}it ends within a header (header at byte 0). Copy or downlo'),
    (
      TAR[:1111],
      f'{CUT}a member promises 600 bytes of data (header at byte 0)',
    ),
    (TAR[: AT_B + 9], f'{CUT}it ends within a header (header at byte 1,536)'),
    (pax(('path', 'x')), f'{CUT}it ends between a name and its member (heade'),
    (B + b'?' + B[1:], f'{DAMAGED} 1,024 does not match its checksum. Copy or'),
    (b'?' + TAR[1:], 'TAR: not a tar: its first header does not match its che'),
    (making.picture(), 'TAR: a JPEG image, expected a tar'),
    (b'\x1f\x8b' + TAR, 'TAR: a gzip file, expected a tar; unpack it first: g'),
    (b'\x1f\x8b' + TAR, 'unpack it first: gzip -dc TAR > NEW'),
    (b'BZh91AY&SY' + TAR, 'unpack it first: bzip2 -dc TAR > NEW'),
    (b'\xfd7zXZ\0' + TAR, 'unpack it first: xz -dc TAR > NEW'),
    (b'\x28\xb5\x2f\xfd' + TAR, 'unpack it first: zstd -dc TAR > NEW'),
    (b'PK\x03\x04' + TAR, 'unpack it first: unzip TAR'),
    (b"7z\xbc\xaf'\x1c" + TAR, 'unpack it first: 7z x TAR'),
    (b'Rar!\x1a\x07\0' + TAR, 'unpack it first: unrar x TAR'),
    (raw(at={124: b'9' * 11}), f'{DAMAGED} 0 holds no size'),
    (raw(at={124: b'-0000000001'}), f'{DAMAGED} 0 holds no size'),
    (B + raw(at={124: b'0000001889\0'}), f'{DAMAGED} 1,024 holds no size'),
    (raw(at=binary(2**88 - 1)), f'{CUT}a member promises 309,485,009,821,345'),
    (raw(at={124: b'\x81'}), f'{CUT}a member promises 367,741,011,670,068,84'),
    (raw(at={124: b'\xff' * 12}), f'{CUT}a member promises 39,614,081,257,13'),
    (raw(b'rubbish', type=b'x'), NONSENSE),
    (raw(b'99 path=a\n', type=b'x'), NONSENSE),
    (raw(b'0 path=a\n', type=b'x'), NONSENSE),
    (raw(b'7 path\n', type=b'x'), NONSENSE),
    (raw(b'9' * 5000 + b' path=a\n', type=b'x'), NONSENSE),
    (pax(('size', '0x12')), NO_SIZE),
    (pax(('size', '-1')), NO_SIZE),
    (pax(('size', '9' * 5000)), NO_SIZE),
    (pax(('size', '3'), type=b'g'), NO_SIZE),
    (raw(bytes(1 << 21), type=b'L'), f'{DAMAGED} 0 claims 2,097,152 bytes of'),
  ],
)
def test_damage_is_named(tmp_path, content, complaint):
  path = tmp_path / 'my x.tar'
  path.write_bytes(content)
  with pytest.raises(tar_index.TarError) as e:
    index(path)
  assert str(e.value).startswith(f'{path}: ')
  message = without_path(str(e.value), path)
  assert complaint in message
  assert len(message) < 200


def test_every_cut_is_an_error_or_warned_of(tmp_path):
  content = raw(b'a' * 600) + raw(name='x' * 200) + TAR
  path = tmp_path / 'x.tar'
  path.write_bytes(content)
  whole = index(path)
  assert len(whole) == 4
  for size in range(0, whole[-1].offset + 2048, 64):
    path.write_bytes(content[:size])
    left = [m[:3] for m in whole if m.offset + m.size <= size]
    end = sum(left[-1][1:]) if left else 0
    if not left or content[end:size].strip(b'\0'):
      with pytest.raises(tar_index.TarError):
        index(path)
    elif size >= end + -end % 512 + 1024:
      assert [m[:3] for m in index(path)] == left
    else:
      with pytest.warns(match=f'^{path}: the tar is not finished: '):
        assert [m[:3] for m in index(path)] == left


@pytest.mark.parametrize('zeros', [512, 1024])
@pytest.mark.parametrize(
  ('behind', 'problem'),
  [
    (bytes(1 << 21), ''),
    (bytes(9000) + b'x', 'data behind its end (archives put together? Unpack '),
    (TAR, 'Unpack all of them: tar --ignore-zeros -xf TAR)'),
  ],
)
def test_what_stands_behind_the_end(tmp_path, behind, problem, zeros):
  path = tmp_path / 'my x.tar'
  path.write_bytes(B + bytes(zeros) + behind)
  b, *rest = index(path)
  assert b.path == 'b'
  assert [m.path for m in rest] == ['/'] * bool(problem)
  assert all(problem in without_path(m.problem, path) for m in rest)


def test_many_pax_records_do_not_take_forever(tmp_path):
  """Copying what is left after each of them took minutes."""
  records = b'6 a=b\n' * (1 << 17)
  (tmp_path / 'x.tar').write_bytes(raw(records, type=b'x') + B + END)
  assert len(index(tmp_path / 'x.tar')) == 1
