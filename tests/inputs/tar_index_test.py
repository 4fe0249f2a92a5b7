"""The tar index: the same members as `tarfile`, and every damage named."""

import io
import pathlib
import shutil
import subprocess
import tarfile

import making
import pytest
from making import member

from imagenet_val_tfrec.core import storage
from imagenet_val_tfrec.inputs import entries, tar_index

LONG = '/'.join(['folder' * 4] * 8) + '/image.jpg'  # 210 characters.
VERY_LONG = '/'.join(['folder' * 20] * 20) + '/image.jpg'
FILES = {
  'a.jpg': b'abc',
  './b.jpg': b'',
  'c/d.jpg': bytes(512),
  'c/blüte.jpg': bytes(513),
  LONG: b'x' * 1000,
  VERY_LONG: b'y',
  'z' * 100: b'z',
}
FORMATS = {
  'ustar': tarfile.USTAR_FORMAT,
  'gnu': tarfile.GNU_FORMAT,
  'pax': tarfile.PAX_FORMAT,
}


def index(path: pathlib.Path) -> list[entries.Entry]:
  with storage.open_random(str(path)) as reader:
    return list(tar_index.read_index(reader, 'x.tar'))


def index_of(content: bytes, folder: pathlib.Path) -> list[entries.Entry]:
  (folder / 'x.tar').write_bytes(content)
  return index(folder / 'x.tar')


def by_tarfile(path: pathlib.Path) -> list[tuple[str, int, int]]:
  with tarfile.open(path) as tar:
    return [(m.path, m.offset_data, m.size) for m in tar if m.isreg()]


def plain(members) -> list[tuple[str, int, int]]:
  return [(m.path, m.offset, m.size) for m in members if not m.problem]


@pytest.mark.parametrize('format', FORMATS)
def test_pythons_tars(tmp_path, format):
  files = dict(FILES)
  if format == 'ustar':
    del files[VERY_LONG]  # Longer than ustar can say.
  path = making.write_tar(tmp_path / 'x.tar', files, format=FORMATS[format])
  found = index(path)
  assert plain(found) == by_tarfile(path)
  content = path.read_bytes()
  assert [m.path for m in found] == list(files)
  for m in found:
    assert content[m.offset : m.offset + m.size] == files[m.path]


@pytest.mark.skipif(not shutil.which('tar'), reason='there is no tar command')
@pytest.mark.parametrize('format', ['v7', 'ustar', 'oldgnu', 'gnu', 'pax'])
def test_the_tar_commands_tars(tmp_path, format):
  files = dict(FILES)
  del files['./b.jpg']
  if format in ('v7', 'ustar'):
    del files[VERY_LONG]
  if format == 'v7':
    del files[LONG], files['z' * 100]
  making.write_folder(tmp_path / 'in', files)
  (tmp_path / 'in' / 'link').symlink_to('a.jpg')
  subprocess.run(
    ['tar', f'--format={format}', '-cf', '../x.tar', '.'],
    cwd=tmp_path / 'in',
    check=True,
  )
  found = index(tmp_path / 'x.tar')
  assert plain(found) == [
    (f'./{name}' if not name.startswith('.') else name, offset, size)
    for name, offset, size in (
      (n.removeprefix('./'), o, s) for n, o, s in by_tarfile(tmp_path / 'x.tar')
    )
  ]
  assert len(plain(found)) == len(files)
  problems = {m.path: m.problem for m in found if m.problem}
  assert problems['./link'] == 'a symbolic link'
  assert problems['./c/'] == 'a folder'


@pytest.mark.skipif(not shutil.which('tar'), reason='there is no tar command')
@pytest.mark.parametrize(
  'flags',
  [
    ['--format=gnu', '--sparse'],
    ['--format=oldgnu', '--sparse'],
    ['--format=pax', '--sparse', '--sparse-version=0.0'],
    ['--format=pax', '--sparse', '--sparse-version=0.1'],
    ['--format=pax', '--sparse', '--sparse-version=1.0'],
  ],
)
def test_sparse_files_are_named_and_passed_over(tmp_path, flags):
  with (tmp_path / 'sparse.jpg').open('wb') as file:
    for i in range(40):  # More holes than one header can hold.
      file.seek(i * 65536)
      file.write(b'data')
  (tmp_path / 'z.jpg').write_bytes(b'behind it')
  subprocess.run(
    ['tar', *flags, '-cf', 'x.tar', 'sparse.jpg', 'z.jpg'],
    cwd=tmp_path,
    check=True,
  )
  found = index(tmp_path / 'x.tar')
  assert [(m.path, m.problem) for m in found] == [
    ('sparse.jpg', 'a sparse file'),
    ('z.jpg', ''),
  ]
  content = (tmp_path / 'x.tar').read_bytes()
  assert content[found[1].offset :][: found[1].size] == b'behind it'


@pytest.mark.parametrize(
  ('kind', 'problem'),
  [
    (tarfile.LNKTYPE, 'a hard link'),
    (tarfile.SYMTYPE, 'a symbolic link'),
    (tarfile.CHRTYPE, 'a device'),
    (tarfile.BLKTYPE, 'a device'),
    (tarfile.DIRTYPE, 'a folder'),
    (tarfile.FIFOTYPE, 'a FIFO'),
    (b'V', "a member of unknown type b'V'"),
  ],
)
def test_what_is_no_plain_file_is_named(tmp_path, kind, problem):
  info = member('odd', type=kind, linkname='a.jpg')
  found = index_of(
    making.tar_bytes([('a.jpg', b'a'), (info, b''), ('b.jpg', b'b')]), tmp_path
  )
  assert [m.path.rstrip('/') for m in found] == ['a.jpg', 'odd', 'b.jpg']
  assert [m.problem for m in found] == ['', problem, '']


@pytest.mark.parametrize('kind', [tarfile.LNKTYPE, tarfile.DIRTYPE])
def test_what_has_no_data_may_say_a_size(tmp_path, kind):
  header = member('odd', size=99_999, type=kind).tobuf(tarfile.USTAR_FORMAT)
  found = index_of(header + making.tar_bytes({'b.jpg': b'b'}), tmp_path)
  assert [(m.path.strip('/'), m.size) for m in found] == [
    ('odd', 0),
    ('b.jpg', 1),
  ]


def test_the_oldest_tars_mark_folders_by_a_slash(tmp_path):
  info = member('folder', type=tarfile.AREGTYPE)
  header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
  header[6:7] = b'/'
  (found,) = index_of(resummed(header) + bytes(1024), tmp_path)
  assert (found.name, found.problem) == ('folder/', 'a folder')


def resummed(header: bytes | bytearray) -> bytes:
  """Returns the tar header with its checksum made right."""
  header = bytearray(header)
  header[148:156] = b' ' * 8
  header[148:156] = b'%06o\0 ' % sum(header)
  return bytes(header)


def test_a_member_of_9_gigabytes(tmp_path):
  """Its data is a hole in the file, so it takes no room."""
  size = 9 << 30
  header = member('big.jpg', size=size).tobuf(tarfile.GNU_FORMAT)
  assert header[124] == 0x80
  with (tmp_path / 'x.tar').open('wb') as file:
    file.write(header)
    file.seek(size, io.SEEK_CUR)
    file.write(member('last.jpg').tobuf() + bytes(1024))
  assert plain(index(tmp_path / 'x.tar')) == [
    ('big.jpg', 512, size),
    ('last.jpg', 512 + size + 512, 0),
  ]


def test_pax_sizes_and_global_headers(tmp_path):
  content = io.BytesIO()
  with tarfile.open(
    fileobj=content,
    mode='w',
    format=tarfile.PAX_FORMAT,
    pax_headers={'comment': 'for all', 'mtime': '1.5'},
  ) as tar:
    info = member('a.jpg', size=3, pax_headers={'size': '3', 'path': 'β.jpg'})
    tar.addfile(info, io.BytesIO(b'abc'))
    tar.addfile(member('b.jpg', size=1), io.BytesIO(b'b'))
  found = index_of(content.getvalue(), tmp_path)
  assert [(m.path, m.size) for m in found] == [('β.jpg', 3), ('b.jpg', 1)]


GOOD = making.tar_bytes({'a.jpg': b'a' * 600, 'b.jpg': b'b' * 600})
HEADER_B = 512 + 1024
END = HEADER_B + 512 + 1024


def extended(content: bytes, kind: bytes = b'x', **fields) -> bytes:
  """Returns a tar whose first member has that extended header."""
  info = member('PaxHeader', size=len(content), type=kind)
  header = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
  for at, value in fields.get('at', {}).items():
    header[at : at + len(value)] = value
  return resummed(header) + content + bytes(-len(content) % 512) + GOOD


def patched(at: int, value: bytes, *, header: int = 0) -> bytes:
  """Returns GOOD with other bytes in a header, whose checksum is made right."""
  content = bytearray(GOOD)
  content[header + at : header + at + len(value)] = value
  content[header : header + 512] = resummed(content[header : header + 512])
  return bytes(content)


@pytest.mark.parametrize(
  ('content', 'complaint'),
  [
    (b'', 'x.tar: an empty file, expected a tar'),
    (GOOD[:100], 'x.tar: the tar is cut: the file ends within a header (hea'),
    (GOOD[:512], 'a member promises 600 bytes of data (header at byte 0)'),
    (GOOD[:1111], 'a member promises 600 bytes of data (header at byte 0)'),
    (GOOD[: HEADER_B + 9], 'ends within a header (header at byte 1,536)'),
    (GOOD[: HEADER_B + 900], 'promises 600 bytes of data (header at byte 1,5'),
    (GOOD[:HEADER_B], 'ends before its end-of-archive blocks (header at byte'),
    (GOOD[:END], 'ends before its end-of-archive blocks (header at byte 3,0'),
    (GOOD[: END - 300], 'the file ends before its end-of-archive blocks'),
    (GOOD[: END + 512], 'its end is one zero block, not two'),
    (GOOD[: END + 100], 'the tar is cut: the file ends within a header'),
    (
      GOOD[:HEADER_B] + b'?' + GOOD[HEADER_B + 1 :],
      'x.tar: the tar is damaged: the header at byte 1,536 does not match its '
      'checksum. Copy or download it again',
    ),
    (b'?' + GOOD[1:], 'x.tar: not a tar: its first header does not match its'),
    (making.picture(), 'x.tar: not a tar: its first header does not match'),
    (b'\x1f\x8b' + GOOD, 'compressed with gzip, so its images cannot be read'),
    (b'BZh9' + GOOD, 'Unpack it first: bzip2 -dc x.tar > NEW.tar'),
    (b'\xfd7zXZ\0' + GOOD, 'Unpack it first: xz -dc x.tar > NEW.tar'),
    (b'\x28\xb5\x2f\xfd' + GOOD, 'Unpack it first: zstd -dc x.tar > NEW.tar'),
    (b'PK\x03\x04' + GOOD, 'Unpack it first: unzip x.tar'),
    (b'7z\xbc\xaf' + GOOD, 'Unpack it first: 7z x x.tar'),
    (patched(124, b'9' * 11), 'not a tar: its first header holds no size'),
    (patched(124, b'-0000000001'), 'not a tar: its first header holds no size'),
    (
      patched(124, b'00000001889\0', header=HEADER_B),
      'the tar is damaged: the header at byte 1,536 holds no size. Copy or',
    ),
    (patched(124, b'\x80' + b'\xff' * 11), 'a member promises 309,485,009,82'),
    (patched(124, b'\xff' * 12), 'the tar is cut: a member promises 309,485,'),
    (extended(b'rubbish'), 'header is followed by names that make no sense'),
    (extended(b'99 path=a\n'), 'followed by names that make no sense'),
    (extended(b'0 path=a\n'), 'followed by names that make no sense'),
    (extended(b'9' * 5000 + b' path=a\n'), 'followed by names that make no se'),
    (extended(b'13 size=0x12\n'), 'is followed by a size that is none'),
    (extended(b'11 size=-1\n'), 'is followed by a size that is none'),
    (
      extended(b'5012 size=' + b'9' * 5001 + b'\n'),
      'is followed by a size that is none',
    ),
    (extended(bytes(1 << 21)), 'its first header claims 2,097,152 bytes of n'),
  ],
)
def test_damage_is_named(tmp_path, content, complaint):
  with pytest.raises(tar_index.TarError) as e:
    index_of(content, tmp_path)
  assert complaint in str(e.value)
  assert str(e.value).startswith('x.tar: ')
  assert len(str(e.value)) < 250


@pytest.mark.parametrize('name', ['BZh9.jpg', 'Rar!.jpg'])
def test_a_name_that_begins_like_another_format(tmp_path, name):
  (found,) = index_of(making.tar_bytes({name: b'a'}), tmp_path)
  assert found.name == name


def test_the_unpack_command_is_fit_for_the_shell(tmp_path):
  path = tmp_path / "my 'best' images.tar"
  path.write_bytes(b'\x1f\x8b')
  with (
    storage.open_random(str(path)) as reader,
    pytest.raises(tar_index.TarError) as e,
  ):
    list(tar_index.read_index(reader, str(path)))
  quoted = str(path).replace("'", "'\"'\"'")
  assert f"gzip -dc '{quoted}' > NEW.tar" in str(e.value)


def test_what_comes_behind_the_end_is_not_read(tmp_path):
  assert len(index_of(GOOD + bytes(9000) + b'anything', tmp_path)) == 2


def test_every_cut_is_noticed(tmp_path):
  for size in range(0, END + 1024, 64):
    with pytest.raises(tar_index.TarError):
      index_of(GOOD[:size], tmp_path)


def test_many_pax_records_do_not_take_forever(tmp_path):
  """Copying what is left after each of them took minutes."""
  content = b'6 a=b\n' * (1 << 17)
  found = index_of(extended(content), tmp_path)
  assert len(found) == 2


def test_a_reader_that_fails_is_not_hidden():
  class Failing:
    size = 1024
    mtime_ns = 0

    def read(self, size, offset):
      raise OSError(5, 'Input/output error')

  with pytest.raises(OSError, match='Input/output error'):
    list(tar_index.read_index(Failing(), 'x.tar'))
