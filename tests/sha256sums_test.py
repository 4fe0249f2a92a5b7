"""`SHA256SUMS` is written with all that is made, and `sha256sum` agrees.

So `outputs`, `shards` and `small_files` write what they say.
"""

import json
import os
import pathlib
import struct
import subprocess

import making
import pytest
import tensorflow_datasets as tfds
from apache_beam.options import pipeline_options

import imagenet_val_tfrec
from imagenet_val_tfrec import adoption, images_to_tfrec
from imagenet_val_tfrec.records import sums
from imagenet_val_tfrec.writing import runners

MODE = tfds.download.GenerateMode
IN_PROCESSES = [
  '--runner=DirectRunner',
  '--direct_num_workers=2',
  '--direct_running_mode=multi_processing',
]


def build(folder, file_format=None, **options) -> pathlib.Path:
  builder = imagenet_val_tfrec.Builder(
    data_dir=folder / 'data', file_format=file_format
  )
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(
      manual_dir=making.DUMMY, num_shards=3, **options
    )
  )
  return pathlib.Path(builder.data_dir)


def build_on_beam(folder) -> pathlib.Path:
  os.environ['PYTHONPATH'] = str(making.ROOT)
  options = pipeline_options.PipelineOptions(IN_PROCESSES)
  return build(folder, beam_options=options)


def build_resumed(folder) -> pathlib.Path:
  run = runners.run_threads

  def interrupted(*args, **kwargs):
    run(*args, **kwargs)
    raise KeyboardInterrupt

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(runners, 'run_threads', interrupted)
    with pytest.raises(KeyboardInterrupt):
      build(folder)
  return build(folder)


def build_and_update(folder) -> pathlib.Path:
  version = build(folder)
  info = json.loads((version / 'dataset_info.json').read_text())
  info['description'] = 'other words'
  (version / 'dataset_info.json').write_text(json.dumps(info))
  build(folder, download_mode=MODE.UPDATE_DATASET_INFO)
  assert 'other words' not in (version / 'dataset_info.json').read_text()
  return version


def convert(folder) -> pathlib.Path:
  images_to_tfrec.make_tfrec(
    image_dir=str(making.DUMMY / 'val_images'),
    label_file=str(making.DUMMY / 'val.txt'),
    img_shard=3,
    tfrec_dir=str(folder / 'raw'),
  )
  return folder / 'raw'


def adopt(folder) -> pathlib.Path:
  return pathlib.Path(adoption.adopt(convert(folder), folder / 'data'))


def adopt_without(folder) -> pathlib.Path:
  (convert(folder) / sums.FILENAME).unlink()
  return pathlib.Path(adoption.adopt(folder / 'raw', folder / 'data'))


@pytest.mark.parametrize(
  ('make', 'number'),
  [
    (build, 3 + 4),
    (lambda folder: build(folder, file_format='array_record'), 3 + 4),
    (build_on_beam, 3 + 4),
    (build_resumed, 3 + 4),
    (build_and_update, 3 + 4),
    (convert, 3),
    (adopt, 3 + 4),
    (adopt_without, 3 + 4),
  ],
)
def test_all_files_are_there(tmp_path, make, number):
  folder = make(tmp_path)
  run = subprocess.run(
    ['sha256sum', '--check', '--strict', 'SHA256SUMS'],
    cwd=folder,
    check=True,
    capture_output=True,
    text=True,
  )
  names = [line.removesuffix(': OK') for line in run.stdout.splitlines()]
  assert sorted([*names, 'SHA256SUMS']) == sorted(os.listdir(folder))
  assert len(names) == number


def test_an_adopted_file_is_what_its_folder_says(tmp_path):
  """So damage since then is seen."""
  raw = convert(tmp_path)
  said = sums.read(str(raw))
  content = bytearray((raw / 'data_1.tfrecord').read_bytes())
  (length,) = struct.unpack_from('<Q', content)
  content[length + 500] ^= 1  # In the second record of three.
  (raw / 'data_1.tfrecord').write_bytes(content)
  version = adoption.adopt(raw, tmp_path / 'data')
  adopted = sums.read(version)
  names = sorted(name for name in adopted if '.tfrecord-' in name)
  assert [adopted[name] for name in names] == list(said.values())
