"""The converter: the old command line, all or nothing.

Of `publishing` and `progress`, too.
"""

import contextlib
import errno
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable

import making
import pytest
import tensorflow as tf

from imagenet_val_tfrec import images_to_tfrec, legacy
from imagenet_val_tfrec.core import storage
from imagenet_val_tfrec.records import raw_files, sums
from imagenet_val_tfrec.writing import publishing, staging

ROOT = making.ROOT
DUMMY = ROOT / 'dummy_data'
NAMES, LABELS = zip(
  *(line.split() for line in (DUMMY / 'val.txt').open()), strict=True
)
LABELS = [int(label) for label in LABELS]


def convert(tfrec_dir, *flags, image_dir='val_images', label_file='val.txt'):
  return images_to_tfrec.main(
    [
      *('--image_dir', str(DUMMY / image_dir)),
      *('--label_file', str(DUMMY / label_file)),
      *('--tfrec_dir', str(tfrec_dir), *flags),
    ]
  )


def examples_in(path):
  for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
    yield tf.train.Example.FromString(record).features.feature


def labels_in(folder, names) -> list[int]:
  return [
    example['label'].int64_list.value[0]
    for name in names
    for example in examples_in(folder / name)
  ]


def names_in(folder) -> list[str]:
  """Returns the names but for `SHA256SUMS`, which is checked."""
  names = sorted(os.listdir(folder))
  written = sums.read(str(folder)) or {}
  for name, digest in written.items():
    assert sums.of_file(os.path.join(folder, name)) == digest, name
  return [name for name in names if name != sums.FILENAME]


@pytest.mark.parametrize('image_dir', ['val_images', 'ILSVRC2012_img_val.tar'])
def test_files_hold_the_label_files_order(tmp_path, capsys, image_dir):
  assert convert(tmp_path / 'out', '-s', '3', image_dir=image_dir) == 0
  names = ['data_0.tfrecord', 'data_1.tfrecord', 'data_2.tfrecord']
  assert names_in(tmp_path / 'out') == names
  assert labels_in(tmp_path / 'out', names) == LABELS
  assert 'Last TFRecord file will have 2 images.' in capsys.readouterr().out
  first = next(examples_in(tmp_path / 'out' / names[0]))
  picture = (DUMMY / 'val_images' / NAMES[0]).read_bytes()
  assert first['image'].bytes_list.value[0] == picture
  shape = tf.io.extract_jpeg_shape(picture).numpy().tolist()
  stored = [
    first[key].int64_list.value[0] for key in ('height', 'width', 'chans')
  ]
  assert stored == shape


# Of a picture with 3 channels, 3 rows and 5 columns, and label 300: the length,
# its checksum, the fields in the order of their names, the data's checksum.
GOLDEN = (
  '7d00000000000000' '61558d7e'
  '0a7b'
  '0a0e' '0a056368616e73' '12051a030a0103'
  '0a0f' '0a06686569676874' '12051a030a0103'
  '0a37' '0a05696d616765' '122e0a2c0a2a'
  'ffd8ffc00011080003000503011100021100031100ffda000c03010002000300003f001234ff'
  '0056ffd9'
  '0a0f' '0a056c6162656c' '12061a040a02ac02'
  '0a0e' '0a057769647468' '12051a030a0105'
  'da57e9cc'
)  # fmt: skip


def test_golden_bytes(tmp_path):
  picture = making.jpeg()
  making.write_folder(tmp_path / 'images', {'rose.jpg': picture})
  (tmp_path / 'labels.txt').write_text('rose.jpg 300\n')
  images_to_tfrec.make_tfrec(
    image_dir=str(tmp_path / 'images'),
    label_file=str(tmp_path / 'labels.txt'),
    tfrec_dir=str(tmp_path),
  )
  example = tf.train.Example()
  for name, value in dict(label=300, height=3, width=5, chans=3).items():
    example.features.feature[name].int64_list.value.append(value)
  example.features.feature['image'].bytes_list.value.append(picture)
  with tf.io.TFRecordWriter(str(tmp_path / 'expected')) as writer:
    writer.write(example.SerializeToString(deterministic=True))
  golden = bytes.fromhex(GOLDEN)
  assert (tmp_path / 'data_0.tfrecord').read_bytes() == golden
  assert (tmp_path / 'expected').read_bytes() == golden


def test_a_build_writes_the_same_bytes(tmp_path):
  """So its shards, by the older names, are the older files."""
  assert convert(tmp_path / 'raw', '-s', '3') == 0
  builder = making.build(
    tmp_path,
    image_dir=DUMMY / 'val_images',
    label_file=DUMMY / 'val.txt',
    options={'num_shards': 2},
  )
  (tmp_path / 'renamed').mkdir()
  for i, path in enumerate(builder.info.splits['validation'].filepaths):
    os.link(path, tmp_path / 'renamed' / f'data_{i}.tfrecord')
  raw, renamed = (
    b''.join((tmp_path / at / n).read_bytes() for n in names_in(tmp_path / at))
    for at in ('raw', 'renamed')
  )
  assert raw == renamed
  for folder in ('raw', 'renamed'):
    dataset = legacy.input_fn(tmp_path / folder, 8, 16, 16)
    assert [labels.numpy().tolist() for _, labels in dataset] == [LABELS]


def test_twelve_files_stay_in_order(tmp_path):
  names = making.many(12)
  making.write_folder(tmp_path / 'images', names)
  (tmp_path / 'labels.txt').write_text(making.label_text(names, 100))
  paths = images_to_tfrec.make_tfrec(
    image_dir=str(tmp_path / 'images'),
    label_file=str(tmp_path / 'labels.txt'),
    tfrec_dir=str(tmp_path / 'raw'),
    img_shard=1,
  )
  assert raw_files.legacy_shards(tmp_path / 'raw') == paths
  assert paths[10].endswith('data_10.tfrecord')
  dataset = legacy.input_fn(tmp_path / 'raw', 6, 16, 16)
  labels = [label for _, labels in dataset for label in labels.numpy()]
  assert labels == list(range(12))


def test_the_defaults_are_the_old_ones(tmp_path, monkeypatch, capsys):
  (tmp_path / 'val_images').symlink_to(DUMMY / 'val_images')
  (tmp_path / 'val.txt').symlink_to(DUMMY / 'val.txt')
  monkeypatch.chdir(tmp_path)
  assert images_to_tfrec.main([]) == 0
  assert names_in('tfrecords') == ['data_0.tfrecord']
  # What the older script printed, as it stands in its users' logs.
  assert capsys.readouterr().out.splitlines()[:-1] == [
    '-------------------------------------',
    'Command line options:',
    ' --image_dir  :  val_images',
    ' --img_shard  :  5000',
    ' --tfrec_base :  data',
    ' --label_file :  val.txt',
    ' --tfrec_dir  :  tfrecords',
    ' --num_images :  0',
    '-------------------------------------',
    'Directory tfrecords created',
    'Found 8 images and labels in val.txt',
    'Using 8 images..',
    '1 TFRecord files will be created.',
    'Last TFRecord file will have 8 images.',
  ]


def test_any_number_of_workers_writes_the_same(tmp_path, capsys):
  found = []
  for workers in ('1', '5'):
    out = tmp_path / workers
    assert convert(out, '-s', '2', '--workers', workers) == 0
    found.append({p.name: p.read_bytes() for p in out.iterdir()})
  assert found[0] == found[1]
  assert len(found[0]) == 4 + 1  # And SHA256SUMS.
  assert '8/8' in capsys.readouterr().err  # The bar, at its end.


def test_the_function_takes_what_it_took(tmp_path):
  arguments = [str(DUMMY / 'val_images'), 3, 'val', str(DUMMY / 'val.txt')]
  paths = images_to_tfrec.make_tfrec(*arguments, str(tmp_path), 4)
  assert [os.path.basename(path) for path in paths] == [
    'val_0.tfrecord',
    'val_1.tfrecord',
  ]
  assert labels_in(tmp_path, names_in(tmp_path)) == LABELS[:4]


def test_num_images_and_base(tmp_path):
  assert convert(tmp_path, '-n', '3', '-tfb', 'val', '-s', '2') == 0
  assert names_in(tmp_path) == ['val_0.tfrecord', 'val_1.tfrecord']
  assert labels_in(tmp_path, names_in(tmp_path)) == LABELS[:3]


@pytest.mark.parametrize(
  ('flags', 'message'),
  [
    (('-s', '0'), 'img_shard is 0, expected 1 or more'),
    (('-n', '-1'), 'num_images is -1, expected 0 or more'),
    (('--workers', '-1'), 'workers is -1, expected 0 or more'),
    (('--workers', '5000'), 'workers is 5,000, expected 0 to 1,000'),
    (
      ('--beam_pipeline_options', 'runner=Nope'),
      "beam_pipeline_options is 'runner=Nope': ",
    ),
    (('-tfb', 'a/b'), "tfrec_base is 'a/b'"),
    (('-tfb', 'a\udcff'), r"tfrec_base is 'a\udcff'"),
  ],
)
def test_bad_flags_are_refused(tmp_path, capsys, flags, message):
  assert convert(tmp_path / 'out', *flags) == 1
  assert message in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
  ('image_dir', 'label_text', 'message'),
  [
    ('val_images', '', 'labels.txt: an empty file'),
    ('val_images', 'rose.jpg 1\n', '1 labelled images are missing'),
    ('val_images', f'{NAMES[0]} 1\n', 'or say --no_check_labels'),
    ('nowhere', f'{NAMES[0]} 985\n', 'nowhere: no such folder or tar'),
    ('val.txt', f'{NAMES[0]} 985\n', 'val.txt: the tar is cut'),
  ],
)
def test_bad_input_is_refused(tmp_path, capsys, image_dir, label_text, message):
  (tmp_path / 'labels.txt').write_text(label_text)
  labels = tmp_path / 'labels.txt'
  code = convert(tmp_path / 'out', image_dir=image_dir, label_file=labels)
  assert code == 1
  assert message in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()


def test_other_labels_on_demand(tmp_path):
  (tmp_path / 'labels.txt').write_text(f'{NAMES[0]} 1\n')
  labels = tmp_path / 'labels.txt'
  assert convert(tmp_path, '--no_check_labels', label_file=labels) == 0
  assert labels_in(tmp_path, ['data_0.tfrecord']) == [1]


def test_a_bad_image_leaves_nothing_behind(tmp_path, capsys):
  images = tmp_path / 'images'
  images.mkdir()
  for name in NAMES:
    (images / name).write_bytes((DUMMY / 'val_images' / name).read_bytes())
  (images / NAMES[4]).write_bytes(b'GIF89a')
  code = images_to_tfrec.main(
    [
      *('-dir', str(images), '-l', str(DUMMY / 'val.txt')),
      *('-tfdir', str(tmp_path / 'out')),
    ]
  )
  assert code == 1
  assert 'val.txt:5' in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()


def test_files_that_are_there_are_replaced_only_on_demand(tmp_path, capsys):
  assert convert(tmp_path, '-s', '1') == 0
  before = names_in(tmp_path)
  assert convert(tmp_path, '-s', '4') == 1
  assert 'there are TFRecord files already' in capsys.readouterr().err
  assert names_in(tmp_path) == before
  assert convert(tmp_path, '-s', '4', '--overwrite') == 0
  assert names_in(tmp_path) == ['data_0.tfrecord', 'data_1.tfrecord']
  assert labels_in(tmp_path, names_in(tmp_path)) == LABELS


def test_files_of_other_names_are_left_alone(tmp_path, capsys):
  (tmp_path / 'train_0.tfrecord').write_bytes(b'precious')
  assert convert(tmp_path) == 1
  assert "'train_0.tfrecord'" in capsys.readouterr().err
  assert convert(tmp_path, '--overwrite') == 0
  assert (tmp_path / 'train_0.tfrecord').read_bytes() == b'precious'
  assert names_in(tmp_path) == ['data_0.tfrecord', 'train_0.tfrecord']


def test_sums_of_other_files_are_kept(tmp_path, capsys):
  assert convert(tmp_path, '-s', '1', '-tfb', 'train') == 0
  assert convert(tmp_path, '-s', '1', '--overwrite') == 0
  assert convert(tmp_path, '-s', '4', '--overwrite') == 0
  (tmp_path / 'train_7.tfrecord').unlink()
  assert convert(tmp_path, '-s', '5', '--overwrite') == 0
  run = subprocess.run(
    ['sha256sum', '-c', '--strict', 'SHA256SUMS'],
    check=True,
    cwd=tmp_path,
    capture_output=True,
    text=True,
  )
  names = [*(f'data_{i}' for i in range(2)), *(f'train_{i}' for i in range(7))]
  assert run.stdout == ''.join(f'{name}.tfrecord: OK\n' for name in names)
  (tmp_path / 'SHA256SUMS').write_text('# mine\n')
  capsys.readouterr()
  assert convert(tmp_path, '--overwrite') == 1
  assert "SHA256SUMS: line 1 is '# mine'" in capsys.readouterr().err


def test_two_runs_cannot_mix(tmp_path, capsys):
  with staging.open_work_dir(str(tmp_path / '.incomplete'), str(tmp_path)):
    assert convert(tmp_path, '--overwrite') == 1
  error = capsys.readouterr().err
  assert f'process {os.getpid()} on ' in error
  assert names_in(tmp_path) == []


@pytest.mark.parametrize(
  ('number', 'code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_interrupted_run_is_gone_on_with(tmp_path, number, code):
  script = (
    'import os, sys\n'
    'from imagenet_val_tfrec import images_to_tfrec\n'
    'from imagenet_val_tfrec.writing import shards\n'
    'write_plans = shards.write_plans\n'
    'def interrupted(*args, **kwargs):\n'
    '  write_plans(*args, **kwargs)\n'
    f'  os.kill(os.getpid(), {number:d})\n'
    'shards.write_plans = interrupted\n'
    'sys.exit(images_to_tfrec.main(sys.argv[1:]))\n'
  )
  flags = [
    *('-dir', str(DUMMY / 'val_images'), '-l', str(DUMMY / 'val.txt')),
    *('-tfdir', str(tmp_path), '-s', '3'),
  ]
  run = subprocess.run(
    [sys.executable, '-c', script, *flags],
    check=False,
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert run.returncode == code
  assert 'interrupted; finished work stays in' in run.stderr
  assert 'Traceback' not in run.stderr
  assert names_in(tmp_path) == ['.incomplete']
  again = subprocess.run(
    [sys.executable, '-m', 'imagenet_val_tfrec.images_to_tfrec', *flags],
    check=True,
    cwd=ROOT,
    capture_output=True,
    text=True,
  )
  assert 'resuming: 3 of 3 shards were complete' in again.stderr
  names = ['data_0.tfrecord', 'data_1.tfrecord', 'data_2.tfrecord']
  assert names_in(tmp_path) == names
  assert labels_in(tmp_path, names) == LABELS


def test_warnings_are_one_line_each(tmp_path, capsys):
  (tmp_path / 'labels.txt').write_text(f'{NAMES[0]} 985\n')
  assert convert(tmp_path, label_file=tmp_path / 'labels.txt') == 0
  lines = capsys.readouterr().err.splitlines()
  (warning,) = [line for line in lines if line.startswith('warning: ')]
  assert '7 images are left out' in warning
  assert not any('warnings.warn' in line for line in lines)


def test_usage(capsys):
  with pytest.raises(SystemExit) as raised:
    images_to_tfrec.main(['--img_shard', 'many'])
  assert raised.value.code == 2
  assert 'usage: images_to_tfrec' in capsys.readouterr().err


@contextlib.contextmanager
def stopped_publishing(at: int, stop: Callable[[], None]):
  """Calls `stop` before that step of publishing: a link or a rename."""
  publish, link, replace = publishing.publish, storage.link, storage.replace

  def stopping(*args):
    steps = itertools.count()

    def wrap(function):
      def call(*args):
        if next(steps) == at:
          stop()
        function(*args)

      return call

    storage.link, storage.replace = wrap(link), wrap(replace)
    publish(*args)

  publishing.publish = stopping
  try:
    yield
  finally:
    publishing.publish, storage.link, storage.replace = publish, link, replace


def full_disk():
  raise OSError(errno.ENOSPC, 'full')


def interrupt():
  raise KeyboardInterrupt


def kill():
  os.kill(os.getpid(), signal.SIGKILL)


def convert_in_child(*args) -> int:
  child = os.fork()
  if not child:
    os._exit(convert(*args))
  return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize(
  ('overwrite', 'at'),
  [*((False, at) for at in range(6)), *((True, at) for at in range(9))],
)
@pytest.mark.parametrize(
  ('stop', 'code'), [(full_disk, 1), (interrupt, 130), (kill, -9)]
)
def test_publishing_that_fails(tmp_path, overwrite, at, stop, code):
  """The old files stay, or none; the same command then ends well."""
  flags = ['--overwrite'] * overwrite
  if overwrite:
    assert convert(tmp_path, '-s', '5') == 0
  old = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
  run = convert_in_child if stop is kill else convert
  with stopped_publishing(at, stop):
    assert run(tmp_path, '-s', '3', *flags) == code
  assert (tmp_path / '.incomplete').exists() == (code != 1)
  if stop is not kill:
    there = [path for path in tmp_path.iterdir() if path.is_file()]
    assert {path.name: path.read_bytes() for path in there} == old
  assert convert(tmp_path, '-s', '3', *flags) == 0
  names = ['data_0.tfrecord', 'data_1.tfrecord', 'data_2.tfrecord']
  assert names_in(tmp_path) == names
  assert labels_in(tmp_path, names) == LABELS


def test_files_that_appear_meanwhile_are_left_alone(tmp_path, monkeypatch):
  write_plans = images_to_tfrec.shards.write_plans

  def write_and_more(*args, **kwargs):
    (tmp_path / 'data_0.tfrecord').write_bytes(b'precious')
    return write_plans(*args, **kwargs)

  monkeypatch.setattr(images_to_tfrec.shards, 'write_plans', write_and_more)
  assert convert(tmp_path) == 1
  assert names_in(tmp_path) == ['data_0.tfrecord']
  assert (tmp_path / 'data_0.tfrecord').read_bytes() == b'precious'


def test_a_finished_set_is_not_undone(tmp_path):
  """A process that dies when all is published leaves its site behind."""
  with stopped_publishing(6, kill):
    assert convert_in_child(tmp_path, '-s', '3') == -9
  names = ['data_0.tfrecord', 'data_1.tfrecord', 'data_2.tfrecord']
  assert names_in(tmp_path) == ['.incomplete', *names]
  assert convert(tmp_path, '-tfb', 'other') == 1
  assert names_in(tmp_path) == names
  assert labels_in(tmp_path, names) == LABELS


def test_a_folder_is_not_replaced(tmp_path, capsys):
  (tmp_path / 'data_1.tfrecord').mkdir()
  (tmp_path / 'data_1.tfrecord' / 'precious').touch()
  assert convert(tmp_path, '--overwrite') == 1
  assert 'data_1.tfrecord: a folder, expected a file' in capsys.readouterr().err
  assert (tmp_path / 'data_1.tfrecord' / 'precious').exists()


def test_where_there_are_no_hard_links(tmp_path, monkeypatch):
  def refuse(path, name):
    raise PermissionError('no links here')

  monkeypatch.setattr(os, 'link', refuse)
  assert convert(tmp_path, '-s', '3') == 0
  assert convert(tmp_path, '-s', '5', '--overwrite') == 0
  names = ['data_0.tfrecord', 'data_1.tfrecord']
  assert names_in(tmp_path) == names
  assert labels_in(tmp_path, names) == LABELS


def test_nothing_stays_of_folders_that_were_made(tmp_path):
  assert convert(tmp_path / 'p' / 'q' / 'r', label_file=os.devnull) == 1
  (tmp_path / 'one.txt').write_text('nothing.jpg 1\n')
  assert convert(tmp_path / 'p' / 'q', label_file=tmp_path / 'one.txt') == 1
  assert names_in(tmp_path) == ['one.txt']


def test_large_images_on_demand(tmp_path, capsys):
  files = {'a.jpg': making.jpeg(making.frame(10_001, 10_000), making.scan())}
  making.write_folder(tmp_path / 'images', files)
  os.truncate(tmp_path / 'images' / 'a.jpg', 110_000_000)
  (tmp_path / 'labels.txt').write_text('a.jpg 0\n')
  options = {
    'image_dir': tmp_path / 'images',
    'label_file': tmp_path / 'labels.txt',
  }
  for limit in ('-1', '0', '100000000'):
    assert convert(tmp_path / 'out', '--max_pixels', limit, **options) == 1
    assert 'max_pixels' in capsys.readouterr().err
  assert convert(tmp_path / 'out', '--max_pixels', '200000000', **options) == 0


def test_a_path_that_cannot_be_printed(tmp_path):
  run = subprocess.run(
    [
      *(sys.executable, '-m', 'imagenet_val_tfrec.images_to_tfrec'),
      *('-dir', str(DUMMY / 'val_images'), '-l', str(DUMMY / 'val.txt')),
      *('-tfdir', os.fsencode(tmp_path) + b'/o\xff'),
    ],
    check=True,
    cwd=ROOT,
    capture_output=True,
    env={**os.environ, 'PYTHONIOENCODING': 'utf-8:strict'},
  )
  assert rb'o\udcff created' in run.stdout


def test_from_the_shell_without_tensorflow(tmp_path):
  script = (
    'import sys\n'
    'from imagenet_val_tfrec import images_to_tfrec\n'
    'code = images_to_tfrec.main(sys.argv[1:])\n'
    'assert not {"tensorflow", "apache_beam"} & set(sys.modules)\n'
    'sys.exit(code)\n'
  )
  run = subprocess.run(
    [
      *(sys.executable, '-c', script, '-dir', str(DUMMY / 'val_images')),
      *('-l', str(DUMMY / 'val.txt'), '-tfdir', str(tmp_path)),
    ],
    check=False,
    cwd=ROOT,
  )
  assert run.returncode == 0
  assert names_in(tmp_path) == ['data_0.tfrecord']


def test_beam_gives_the_same_files(tmp_path):
  assert convert(tmp_path / 'threads', '-s', '3') == 0
  flags = ('--beam_pipeline_options', 'runner=DirectRunner')
  assert convert(tmp_path / 'beam', '-s', '3', *flags) == 0
  threads, beam = (
    {
      name: (tmp_path / at / name).read_bytes()
      for name in names_in(tmp_path / at)
    }
    for at in ('threads', 'beam')
  )
  assert threads == beam
  assert len(threads) == 3
