"""The converter: the old command line, all or nothing."""

import os
import signal
import subprocess
import sys

import making
import pytest
import tensorflow as tf

from imagenet_val_tfrec import files, images_to_tfrec, legacy, staging

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
  return sorted(os.listdir(folder))


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
  assert files.legacy_shards(tmp_path / 'raw') == paths
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
  assert capsys.readouterr().out.splitlines()[:2] == [
    'Writing 8 images from val_images to tfrecords, 5,000 in each TFRecord '
    'file.',
    'Last TFRecord file will have 8 images.',
  ]


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
    (('-tfb', 'a/b'), "tfrec_base is 'a/b'"),
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


def test_two_runs_cannot_mix(tmp_path, capsys):
  with staging.open_site(str(tmp_path / '.incomplete'), str(tmp_path)):
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
    'from imagenet_val_tfrec import images_to_tfrec, shards\n'
    'write_plan = shards.write_plan\n'
    'def interrupted(*args, **kwargs):\n'
    '  write_plan(*args, **kwargs)\n'
    f'  os.kill(os.getpid(), {number:d})\n'
    'shards.write_plan = interrupted\n'
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
  assert 'interrupted; what is done stays in' in run.stderr
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


def test_a_killed_overwrite_does_not_mix_old_and_new(tmp_path):
  assert convert(tmp_path, '-s', '1') == 0
  script = (
    'import os, signal, sys\n'
    'from imagenet_val_tfrec import images_to_tfrec, storage\n'
    'link = storage.link\n'
    'def dying(*args):\n'
    '  link(*args)\n'
    '  os.kill(os.getpid(), signal.SIGKILL)\n'
    'storage.link = dying\n'
    'images_to_tfrec.main(sys.argv[1:])\n'
  )
  subprocess.run(
    [
      *(sys.executable, '-c', script, '-dir', str(DUMMY / 'val_images')),
      *('-l', str(DUMMY / 'val.txt'), '-tfdir', str(tmp_path)),
      *('-s', '4', '--overwrite'),
    ],
    check=False,
    cwd=ROOT,
  )
  assert 'data_0.tfrecord' not in names_in(tmp_path)
  assert convert(tmp_path, '-s', '4', '--overwrite') == 0
  assert names_in(tmp_path) == ['data_0.tfrecord', 'data_1.tfrecord']
  assert labels_in(tmp_path, names_in(tmp_path)) == LABELS


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
