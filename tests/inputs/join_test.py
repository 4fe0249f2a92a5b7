"""Labels × source → examples: by name, nothing missing, nothing twice."""

import dataclasses
import io
import os
import stat
import tarfile
import time
import warnings
from collections.abc import Sequence

import hypothesis
import making
import pytest
from hypothesis import strategies as st
from making import member

from imagenet_val_tfrec.inputs import entries, join, sources
from imagenet_val_tfrec.inputs import labels as labels_lib


def label_file(*names: str) -> labels_lib.Labels:
  text = making.label_text(names)
  return labels_lib.parse_labels(io.BytesIO(text.encode()), path='l.txt')


@dataclasses.dataclass(frozen=True)
class Listed:
  """A source of made-up paths, in the order given; sizes tell them apart."""

  paths: Sequence[str]
  kind = 'list'
  path = 'SOURCE'

  def entries(self):
    for i, path in enumerate(self.paths):
      yield entries.Entry(path, 0, i, 0)

  def state(self, of_entries=None):
    return of_entries

  def open(self):
    raise AssertionError('nothing is read')


def found_at(paths: Sequence[str], *names: str) -> list[str]:
  examples = join.locate(label_file(*names), Listed(paths))
  return [paths[size] for size in examples.sizes]


@pytest.mark.parametrize(
  ('paths', 'names', 'expected'),
  [
    (['a', 'b'], ['a', 'b'], ['a', 'b']),
    (['a', 'b'], ['b', 'a'], ['b', 'a']),
    (['val/a', 'val/b'], ['b', 'a'], ['val/b', 'val/a']),
    (['x/y/a', 'z/b'], ['a', 'b'], ['x/y/a', 'z/b']),
    # The one below the fewest folders, in whatever order they come.
    (['x/a', 'a', 'b'], ['a', 'b'], ['a', 'b']),
    (['a', 'x/a', 'b'], ['a', 'b'], ['a', 'b']),
    (['x/a', 'y/a', 'a'], ['a'], ['a']),
    (['x/y/a', 'z/a', 'x/z/a'], ['a'], ['z/a']),
    # The longest label.
    (['x/a', 'y/a'], ['x/a', 'y/a'], ['x/a', 'y/a']),
    (['top/x/a', 'top/y/a'], ['y/a', 'x/a'], ['top/y/a', 'top/x/a']),
    (['x/a', 'a'], ['x/a', 'a'], ['x/a', 'a']),
    (['x/y/a', 'z/a'], ['y/a', 'a'], ['x/y/a', 'z/a']),
    # Only whole folder names.
    (['xa', 'a'], ['a'], ['a']),
    (['xy/a', 'z/y/a'], ['y/a'], ['z/y/a']),
  ],
)
def test_what_is_found(paths, names, expected):
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    assert found_at(paths, *names) == expected


@pytest.mark.parametrize(
  ('paths', 'names', 'complaint'),
  [
    (
      ['a'],
      ['a', 'b'],
      "from SOURCE:\n  l.txt:2: 'b'\nIt has no images without a label.",
    ),
    (['a', 'c.jpg'], ['a', 'b'], "Its images without a label: 'c.jpg'."),
    (['x/a', 'y/a'], ['a'], "l.txt:1: 'a' is there twice, as 'x/a' and 'y/a'"),
    (['a', 'a'], ['a'], "l.txt:1: 'a' is there twice, as 'a' and 'a'"),
    (['b', 'a', 'b'], ['b', 'a'], "'b' is there twice, as 'b' and 'b'"),
    (
      ['/a'],
      ['a'],
      "missing from SOURCE:\n  l.txt:1: 'a'\nIts images without a label: '/a'.",
    ),
    (['/x/a'], ['a'], 'labelled images are missing'),
    (['../a'], ['a'], 'labelled images are missing'),
    (['x/../a'], ['a'], 'labelled images are missing'),
    (['x/a'], ['x\\a'], 'Between folders "/" is expected, not a backslash.'),
    (['._a'], ['a'], "missing from SOURCE:\n  l.txt:1: 'a'\nIt has no"),
    (['A'], ['a'], "Its images without a label: 'A'."),
    (['x\x1b[2J', 'x'], ['a'], r"Its images without a label: 'x\x1b[2J', 'x'"),
  ],
)
def test_what_does_not_fit(paths, names, complaint):
  with pytest.raises(join.JoinError) as e:
    join.locate(label_file(*names), Listed(paths))
  assert complaint in str(e.value)


def test_all_are_counted_and_ten_named():
  names = [f'{i:04d}.jpg' for i in range(1500)]
  paths = [f'{x}/{name}' for x in 'pq' for name in names[1200:]]
  with pytest.raises(join.JoinError) as e:
    join.locate(label_file(*names), Listed(paths))
  lines = str(e.value).splitlines()
  assert lines[0] == '1,200 labelled images are missing from SOURCE:'
  assert lines[10:12] == ["  l.txt:10: '0009.jpg'", '  … and 1,190 more']
  assert lines[13] == '300 labelled images cannot be used in SOURCE:'
  assert lines[14] == (
    "  l.txt:1201: '1200.jpg' is there twice, as 'p/1200.jpg' and 'q/1200.jpg'"
  )
  assert lines[24] == '  … and 290 more'
  assert len(lines) == 25


def test_what_is_left_out_gives_one_warning():
  paths = ['b.jpg', 'a', *(f'{i}.jpg' for i in range(50)), 'l.txt', '.x']
  with pytest.warns(UserWarning, match='are left out') as found:
    join.locate(label_file('a'), Listed([*paths, '._a', '._b', 'x/._c']))
  assert [str(w.message) for w in found] == [
    "SOURCE: 51 images are left out, as no line of l.txt names them: 'b.jpg', "
    "'0.jpg', '1.jpg', …; 3 files of macOS (._*) are ignored"
  ]


def test_nothing_is_left_out_by_a_limit():
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    examples = join.locate(label_file('a', 'b'), Listed(['b', 'a']), limit=1)
  assert list(examples.sizes) == [1]


# --- against the plain reading of the docstring ---

PART = st.sampled_from(['a', 'b', 'c', '.', '..', ''])
PATH = st.lists(PART, min_size=1, max_size=4).map('/'.join)
NAME = st.lists(st.sampled_from('abc'), min_size=1, max_size=3).map('/'.join)


def by_the_docstring(names: Sequence[str], paths: Sequence[str]):
  """Returns the index of each label's path, 'missing' or 'twice'."""
  of_name = {name: [] for name in names}
  for i, path in enumerate(paths):
    if path.startswith('/') or '..' in path.split('/'):
      continue
    parts = path.split('/')
    ends = ['/'.join(parts[start:]) for start in range(len(parts))]
    longest = next((end for end in ends if end in of_name), None)
    if longest is not None:
      of_name[longest].append((ends.index(longest), i))
  answer = []
  for candidates in of_name.values():
    least = min((depth for depth, _ in candidates), default=0)
    nearest = [i for depth, i in candidates if depth == least]
    answer.append(
      nearest[0] if len(nearest) == 1 else 'twice' if nearest else 'missing'
    )
  return answer


@hypothesis.settings(max_examples=1500)
@hypothesis.given(
  names=st.lists(NAME, min_size=1, max_size=6, unique=True),
  paths=st.lists(PATH, max_size=10),
)
def test_any_names_and_paths(names, paths):
  check_against_the_docstring(names, paths)


@hypothesis.settings(max_examples=500)
@hypothesis.given(st.data())
def test_paths_that_are_nearly_in_order(data):
  """Aims at the fast path: flat names, in order but for a few."""
  names = [f'{i}.jpg' for i in range(6)]
  paths = [data.draw(st.sampled_from(['', 'x/', 'x/y/'])) + n for n in names]
  for _ in range(data.draw(st.integers(0, 3))):
    at = data.draw(st.integers(0, len(paths)))
    paths.insert(at, data.draw(st.sampled_from(['', 'z/'])) + names[at % 6])
  if data.draw(st.booleans()):
    paths = paths[data.draw(st.integers(0, 6)) :]
  check_against_the_docstring(names, paths)


def check_against_the_docstring(names, paths):
  expected = by_the_docstring(names, paths)
  bad = [e for e in expected if isinstance(e, str)]
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    if not bad:
      examples = join.locate(label_file(*names), Listed(paths))
      assert list(examples.sizes) == expected
      return
    with pytest.raises(join.JoinError) as e:
      join.locate(label_file(*names), Listed(paths))
  message = str(e.value)
  for kind, words in (
    ('missing', 'labelled images are missing'),
    ('twice', 'labelled images cannot be used'),
  ):
    count = bad.count(kind)
    assert (f'{count} {words}' in message) == (count > 0)


# --- the two real sources ---


def test_a_tar_and_a_folder_are_one_input(tmp_path):
  files = {f'val/{name}': data for name, data in making.many(20).items()}
  found = label_file(*sorted(making.many(20), reverse=True))
  folder = making.write_folder(tmp_path / 'folder', files)
  tar = making.write_tar(tmp_path / 'x.tar', files)
  prints = {
    join.locate(found, sources.open_source(str(path))).fingerprint()
    for path in (folder, tar)
  }
  assert len(prints) == 1
  other = join.locate(found, sources.open_source(str(tar)), limit=19)
  assert other.fingerprint() not in prints


@pytest.mark.parametrize(
  ('names', 'files'),
  [
    (['a.jpg'], {'./a.jpg': b'x'}),
    (['a.jpg'], {'.//a.jpg': b'x'}),
    (['v/a.jpg'], {'./v/./a.jpg': b'x'}),
    (['v/a.jpg'], {'v//a.jpg': b'x'}),
  ],
)
def test_names_in_tars_are_normalised(tmp_path, names, files):
  tar = making.write_tar(tmp_path / 'x.tar', files)
  examples = join.locate(label_file(*names), sources.open_source(str(tar)))
  assert list(examples.sizes) == [1]


def sparse(name: str) -> tarfile.TarInfo:
  return member(name, pax_headers={'GNU.sparse.map': '0,0'})


@pytest.mark.parametrize(
  ('members', 'complaint'),
  [
    ([(member('a.jpg', type=tarfile.LNKTYPE), b'')], "'a.jpg' is a hard link,"),
    ([(member('a.jpg', type=tarfile.SYMTYPE), b'')], 'is a symbolic link, exp'),
    ([(member('a.jpg', type=tarfile.CHRTYPE), b'')], 'is a device, expected a'),
    ([(member('a.jpg', type=tarfile.FIFOTYPE), b'')], 'is a FIFO, expected a'),
    ([(member('a.jpg', type=tarfile.DIRTYPE), b'')], 'is a folder, expected'),
    ([(sparse('a.jpg'), b'')], "l.txt:1: 'a.jpg' is a sparse file, expected"),
    ([('a.jpg', b''), ('a.jpg', b'')], "'a.jpg' is there twice"),
    ([('a.jpg', b''), ('./a.jpg', b'')], "'a.jpg' is there twice"),
    ([('x/a.jpg', b''), ('y/a.jpg', b'')], "'a.jpg' is there twice"),
    ([('b.jpg', b'')], "l.txt:1: 'a.jpg'\nIts images without a label: 'b.jpg'"),
    ([('/a.jpg', b'')], "l.txt:1: 'a.jpg'\nIts images without a label: '/a.jp"),
    ([('x/../a.jpg', b'')], "l.txt:1: 'a.jpg'\nIts images without a label:"),
  ],
)
def test_what_tars_have_instead_of_images(tmp_path, members, complaint):
  tar = making.write_tar(tmp_path / 'x.tar', members, format=tarfile.PAX_FORMAT)
  with pytest.raises(join.JoinError) as e:
    join.locate(label_file('a.jpg'), sources.open_source(str(tar)))
  assert complaint in str(e.value)


def test_what_is_nearer_counts_whatever_else_is_there(tmp_path):
  link = member('x/a.jpg', type=tarfile.SYMTYPE, linkname='gone')
  tar = making.write_tar(tmp_path / 'x.tar', [(link, b''), ('a.jpg', b'good')])
  found = join.locate(label_file('a.jpg'), sources.open_source(str(tar)))
  assert list(found.sizes) == [4]


def test_a_path_of_many_folders_takes_no_time():
  paths = ['a/' * 200_000 + 'x.jpg', 'b/x.jpg']
  start = time.process_time()
  with pytest.warns(UserWarning, match='1 images are left out') as found:
    assert found_at(paths, 'b/x.jpg') == ['b/x.jpg']
  assert time.process_time() - start < 2
  assert len(str(found[0].message)) < 300


def test_what_is_too_long_is_never_matched():
  with pytest.raises(join.JoinError, match='1 labelled images are missing'):
    found_at(['x/' * 2048 + 'a.jpg'], 'a.jpg')
  with pytest.warns(UserWarning, match='1 images are left out') as found:
    assert found_at(['a.jpg', 'x' * 4097], 'a.jpg') == ['a.jpg']
  assert len(str(found[0].message)) < 300


def test_names_of_any_length_do_not_fill_a_terminal(tmp_path):
  names = {f'{i}' + '\x1b' * 200_000: b'' for i in range(4)}
  tar = making.write_tar(
    tmp_path / 'x.tar', {'a.jpg': b'', **names}, format=tarfile.PAX_FORMAT
  )
  with pytest.warns(UserWarning, match='4 images are left out') as found:
    join.locate(label_file('a.jpg'), sources.open_source(str(tar)))
  assert len(str(found[0].message)) < 600
  with pytest.raises(join.JoinError) as e:
    join.locate(label_file('b.jpg'), sources.open_source(str(tar)))
  assert len(str(e.value)) < 600
  long = 'x' * 4000
  with pytest.raises(join.JoinError) as e:
    join.locate(label_file(long), Listed([f'p/{long}', f'q/{long}']))
  assert len(str(e.value)) < 600


def make_fifo(path):
  os.mkfifo(path)


def make_socket(path):
  os.mknod(path, stat.S_IFSOCK | 0o600)


@pytest.mark.parametrize(
  ('make', 'problem'),
  [
    (make_fifo, 'a FIFO'),
    (make_socket, 'a socket'),
    (lambda path: path.symlink_to('/dev/null'), 'a device'),
    (lambda path: path.symlink_to('gone'), 'a broken link'),
    (lambda path: path.symlink_to('a.jpg'), 'unreadable (Too many levels'),
  ],
)
def test_what_folders_have_instead_of_images(tmp_path, make, problem):
  make(tmp_path / 'a.jpg')
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    with pytest.raises(join.JoinError) as e:
      join.locate(label_file('a.jpg'), sources.open_source(str(tmp_path)))
  assert f"l.txt:1: 'a.jpg' is {problem}" in str(e.value)


def test_a_folder_is_no_image(tmp_path):
  (tmp_path / 'a.jpg').mkdir()
  with pytest.raises(join.JoinError, match='missing'):
    join.locate(label_file('a.jpg'), sources.open_source(str(tmp_path)))
