"""Object stores over HTTP: there and back, the same bytes, or an error.

Of `object_store`, and of what the rest does where paths begin with `gs://` or
`s3://`. The servers are real processes; a proxy before them counts, and fails.
"""

import contextlib
import itertools
import os
import random
import re
import subprocess
import sys
import textwrap

import making
import pytest
import stores

from imagenet_val_tfrec import __main__ as tool
from imagenet_val_tfrec import images_to_tfrec
from imagenet_val_tfrec.core import object_store
from imagenet_val_tfrec.inputs import sources
from imagenet_val_tfrec.writing import staging

MANUAL = {
  path.relative_to(making.DUMMY).as_posix(): path.read_bytes()
  for path in making.DUMMY.rglob('*')
  if path.is_file()
}
TAR, IMAGES = 'ILSVRC2012_img_val.tar', 'val_images'


@pytest.fixture(scope='module', params=['s3', 'gs'])
def server(request):
  with getattr(stores, request.param)() as store:
    yield store


@pytest.fixture
def store(server):
  """An empty store that does not fail."""
  server.fault = stores.no_fault
  if names := server.system.find(stores.BUCKET):
    server.system.rm(names)
  yield server
  server.fault = stores.no_fault


def put(store: stores.Store, files) -> str:
  """Puts files in the store; returns their folder."""
  for name, content in files.items():
    store.system.pipe_file(f'{stores.BUCKET}/in/{name}', content)
  store.requests.clear()
  return f'{store.scheme}://{stores.BUCKET}/in'


def found(store: stores.Store, folder: str) -> dict[str, bytes]:
  """Returns what is in a folder of the bucket."""
  above = f'{stores.BUCKET}/{folder}/'
  return {
    name.removeprefix(above): store.system.cat_file(name)
    for name in store.system.find(above)
  }


def convert(image_dir: str, manual: str, tfrec_dir: str, *options: str) -> int:
  """Runs the converter, three images a file."""
  return images_to_tfrec.main(
    [
      *('-dir', f'{manual}/{image_dir}', '-l', f'{manual}/val.txt'),
      *('-s', '3', '-tfdir', tfrec_dir, *options),
    ]
  )


@pytest.fixture(scope='module')
def converted(tmp_path_factory) -> dict[str, bytes]:
  """What the converter writes on this machine."""
  folder = tmp_path_factory.mktemp('converted')
  assert convert(TAR, str(making.DUMMY), str(folder)) == 0
  return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- reading a tar in place ---

NUMBER, SIZE = 60, 200_000


@pytest.fixture(scope='module')
def big_tar() -> dict[str, bytes]:
  """A tar of 12 MB: 60 files of random bytes."""
  rng = random.Random(1)
  return {f'{i}.jpg': rng.randbytes(SIZE) for i in range(NUMBER)}


@pytest.mark.parametrize(
  ('step', 'most_requests', 'most_bytes'),
  [
    pytest.param(1, 10, 1.05, id='members that follow each other'),
    pytest.param(-1, NUMBER + 9, 1.05, id='members from the last to the first'),
    pytest.param(20, 10, 0.06, id='few'),
  ],
)
def test_a_tar_is_read_by_few_large_ranges(
  store, big_tar, step, most_requests, most_bytes
):
  tar = making.tar_bytes(big_tar)
  source = sources.open_source(f'{put(store, {"a.tar": tar})}/a.tar')
  store.requests.clear()
  entries = list(source.entries())
  assert len(store.requests) < 12
  assert sum(request.size for request in store.requests) < 1.01 * len(tar)
  store.requests.clear()
  with source.open() as reader:
    for entry in entries[::step]:
      assert reader.read(entry) == big_tar[entry.path]
  assert len(store.requests) <= most_requests
  assert sum(r.size for r in store.requests) < most_bytes * len(tar)


def test_a_tar_that_was_not_finished(store):
  content = making.tar_bytes({'a.jpg': bytes(5 << 20), 'b.jpg': b'b'})
  content = content.rstrip(b'\0')  # It ends before its last block does.
  source = sources.open_source(f'{put(store, {"a.tar": content})}/a.tar')
  with pytest.warns(UserWarning, match=r'/a\.tar: the tar is not finished: '):
    assert [entry.path for entry in source.entries()] == ['a.jpg', 'b.jpg']


def test_a_tar_that_is_replaced_while_it_is_read(store, big_tar):
  path = f'{put(store, {"a.tar": making.tar_bytes(big_tar)})}/a.tar'
  source = sources.open_source(path)
  entries = list(source.entries())

  def read() -> None:
    with source.open() as reader:
      put(store, {'a.tar': making.tar_bytes(making.many(2))})
      with pytest.raises(OSError, match=path):
        reader.read(entries[-1])

  with pytest.raises(sources.SourceError, match='changed while it was read'):
    read()


# --- the converter ---


@pytest.mark.parametrize('image_dir', [TAR, IMAGES])
def test_the_converter_there_and_back(store, converted, image_dir, capsys):
  manual = put(store, MANUAL)
  target = f'{store.scheme}://{stores.BUCKET}/out'
  assert convert(image_dir, manual, target) == 0
  assert found(store, 'out') == converted
  assert tool.main(['verify', target, '--label_file', f'{manual}/val.txt']) == 0
  assert convert(image_dir, manual, target) == 1
  assert 'there are TFRecord files already' in capsys.readouterr().err
  if image_dir == TAR:
    assert convert(image_dir, manual, target, '--overwrite') == 0
    assert found(store, 'out') == converted


def fail(store, what, times, *methods, path=''):
  """Lets the next `times` requests of these methods fail."""
  left = itertools.repeat(what, times)

  def fault(method: str, of: str):
    return next(left, None) if method in methods and path in of else None

  store.fault = fault


@pytest.mark.parametrize(
  ('what', 'methods', 'path'),
  [
    (503, ['HEAD', 'GET'], ''),
    (stores.DROP, ['GET'], '.tar'),
    (stores.CUT, ['GET'], '.tar'),
    (500, ['PUT', 'POST'], ''),
    (stores.DROP, ['PUT', 'POST'], ''),
  ],
)
def test_what_goes_wrong_once_is_done_again(
  store, converted, what, methods, path
):
  manual = put(store, MANUAL)
  fail(store, what, 1, *methods, path=path)
  assert convert(TAR, manual, f'{store.scheme}://{stores.BUCKET}/out') == 0
  assert found(store, 'out') == converted


@pytest.mark.parametrize(
  ('what', 'methods', 'path'),
  [
    (401, ['GET', 'HEAD'], '.tar'),
    (403, ['PUT', 'POST'], ''),
    (403, ['DELETE', 'POST'], ''),
  ],
)
def test_what_goes_wrong_always_is_told_in_a_line(
  store, converted, what, methods, path, capsys
):
  manual = put(store, MANUAL)
  target = f'{store.scheme}://{stores.BUCKET}/out'
  fail(store, what, 999, *methods, path=path)
  assert convert(TAR, manual, target) == 1
  (line,) = re.findall('.*error: .*', capsys.readouterr().err)
  assert re.fullmatch(
    rf"error: '{store.scheme}://{stores.BUCKET}/.+': .+", line
  )
  store.fault = stores.no_fault
  assert not [name for name in found(store, 'out') if '/' not in name]
  assert convert(TAR, manual, target) == 0
  assert found(store, 'out') == converted


@pytest.mark.parametrize(
  ('path', 'line'),
  [
    ('http://bucket/in', 'expected a path of this machine, or one that begins'),
    ('{store}://bucket/none', 'No such file or directory'),
    ('{store}://no-bucket/in', 'No such file or directory'),
    ('{store}://bucket', 'a folder, expected a file'),
  ],
)
def test_paths_that_lead_nowhere(store, path, line, capsys):
  put(store, {'a': b''})
  path = path.format(store=store.scheme)
  assert images_to_tfrec.main(['-dir', path, '-l', path, '-tfdir', path]) == 1
  assert re.search(f'error: .*{line}', capsys.readouterr().err)


def test_without_credentials_or_client(store):
  there = put(store, MANUAL)
  script = """
  import sys
  from imagenet_val_tfrec import images_to_tfrec
  sys.modules[sys.argv.pop()] = None
  sys.exit(0 if images_to_tfrec.main() else 'no error')
  """
  arguments = ['-dir', there, '-l', f'{there}/val.txt', '-tfdir', there]
  client, extra = {'s3': ('s3fs', 's3'), 'gs': ('gcsfs', 'gcs')}[store.scheme]
  told = run(script, *arguments, client, prologue='')
  assert f"pip install 'imagenet_val_tfrec[{extra}]'" in told
  if store.scheme == 's3':
    told = run(script, *arguments, 'none', prologue='', AWS_ACCESS_KEY_ID='')
    assert 'Unable to locate credentials' in told


# --- datasets ---

DATASET = """
import hashlib, os, sys
import tensorflow_datasets as tfds
from etils import epath
import imagenet_val_tfrec

data_dir, manual_dir, here = sys.argv[1:]

def build(data_dir, manual_dir, **options):
  builder = imagenet_val_tfrec.Builder(
    data_dir=data_dir, file_format=options.pop('file_format', None))
  config = tfds.download.DownloadConfig(
    manual_dir=manual_dir, num_shards=3, **options)
  builder.download_and_prepare(download_config=config)
  return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()
          for path in epath.Path(builder.data_dir).iterdir()}

def refused(*args, **options):
  try:
    build(*args, **options)
  except (OSError, ValueError) as e:
    return str(e)

OVERWRITE = tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
"""


def run(
  body: str, *arguments: str, prologue: str = DATASET, **environment: str
):
  """Runs a script in a process of its own; fails if it does."""
  script = prologue + textwrap.dedent(body)
  done = subprocess.run(
    [sys.executable, '-c', script, *arguments],
    check=False,
    capture_output=True,
    text=True,
    cwd=making.ROOT,
    env={
      **os.environ,
      'EPATH_USE_TF': 'false',
      'PYTHONPATH': str(making.ROOT),
      **environment,
    },
  )
  assert done.returncode == 0, done.stderr
  return done.stderr


def test_a_dataset_there(store, tmp_path):
  manual = put(store, MANUAL)
  data_dir = f'{store.scheme}://{stores.BUCKET}/data'
  run(
    """
    local = build(here, manual_dir)
    assert len(local) == 3 + 5, local
    assert "expected 'tfrecord'" in refused(
      f'{data_dir}2', manual_dir, file_format='array_record')
    assert build(data_dir, manual_dir) == local
    assert build(data_dir, manual_dir) == local
    assert build(data_dir, manual_dir, download_mode=OVERWRITE) == local
    assert 'made from other input' in refused(
      data_dir, manual_dir, max_examples_per_split=5)
    del os.environ['EPATH_USE_TF']
    assert 'EPATH_USE_TF=false' in refused(data_dir, here)
    assert 'EPATH_USE_TF=false' in refused(here, manual_dir)
    assert 'tensorflow' not in sys.modules
    """,
    *(data_dir, manual, str(tmp_path)),
  )
  folder = 'imagenet_val_tfrec/imagenet2012/1.0.0'
  there = found(store, 'data')
  assert {name.rpartition('/')[0] for name in there} == {
    'imagenet_val_tfrec/.config',
    folder,
  }
  if store.scheme == 's3':
    run(
      """
      import sys
      sys.modules['imagenet_val_tfrec'] = None
      import tensorflow_datasets as tfds
      builder = tfds.builder_from_directory(sys.argv[1])
      assert builder.info.splits['validation'].num_examples == 8
      assert builder.is_prepared()
      """,
      f'{data_dir}/{folder}',
      prologue='',
    )


@pytest.mark.parametrize('kept', [0, 100, -9])
def test_half_a_shard_is_noticed(store, converted, kept, capsys):
  put(
    store, {**converted, 'data_1.tfrecord': converted['data_1.tfrecord'][:kept]}
  )
  folder = f'{store.scheme}://{stores.BUCKET}/in'
  assert tool.main(['verify', folder]) == 1
  assert f'{folder}/data_1.tfrecord' in capsys.readouterr().out


def test_a_publication_that_ends_anywhere(store):
  """The old dataset or the new one, whole; and no half that looks whole."""
  path, target = (
    f'{store.scheme}://{stores.BUCKET}/{name}' for name in ('work', 'target')
  )

  def fill(folder: str, names: str, content: bytes):
    for name in (*names, 'dataset_info.json'):
      object_store.write(f'{folder}/{name}', content)

  def publish() -> None:
    with staging.open_work_dir(path, target) as work_dir:
      fill(f'{work_dir.path}/built', 'vwx', b'new')
      store.requests.clear()
      store.fault = fault
      try:
        work_dir.publish(f'{work_dir.path}/built')
      finally:
        endings.append(len(store.requests))

  def fault(method: str, of: str):
    return 403 if len(store.requests) >= last else None

  seen, endings = set(), []
  for last in itertools.count(step=3 if store.scheme == 'gs' else 7):
    store.fault = stores.no_fault
    object_store.remove(target)
    object_store.remove(path)
    fill(target, 'uvw', b'old')
    with contextlib.suppress(OSError):
      publish()
    store.fault = stores.no_fault
    there = found(store, 'target')
    if 'dataset_info.json' in there:
      assert is_whole(there)
    with staging.open_work_dir(path, target):  # The next build.
      there = found(store, 'target')
    seen.add(is_whole(there))
    if endings[-1] < last:
      break
  assert seen == {'uvw', 'vwx'}


def is_whole(files: dict[str, bytes]) -> str:
  """Returns the names of the old files, or of the new; fails if neither."""
  names = ''.join(sorted(name for name in files if len(name) == 1))
  content = {'uvw': b'old', 'vwx': b'new'}[names]
  for name, there in files.items():
    assert there == content or name == 'SHA256SUMS'
  assert len(files) == 4 + (content == b'new')
  return names
