"""The converter: the old command line, all or nothing."""

import os
import pathlib
import subprocess
import sys

import pytest
import tensorflow as tf

from imagenet_val_tfrec import images_to_tfrec

ROOT = pathlib.Path(__file__).parent.parent
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
