"""Apache Beam for real: other processes, a killed worker, the same bytes."""

import functools
import os
import pathlib
import pickle
import re
import signal
import threading
import time

import psutil
import pytest
import stores
import tensorflow_datasets as tfds
from apache_beam.options import pipeline_options

import imagenet_val_tfrec
from imagenet_val_tfrec import images_to_tfrec
from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import join, sources
from imagenet_val_tfrec.inputs import labels as labels_lib
from imagenet_val_tfrec.writing import plan as plan_lib
from imagenet_val_tfrec.writing import runners, shards

ROOT = pathlib.Path(__file__).parent.parent
DUMMY = ROOT / 'dummy_data'
NUM_IMAGES, NUM_SHARDS = 6400, 64

TWO_PROCESSES = [
  '--runner=DirectRunner',
  '--direct_num_workers=2',
  '--direct_running_mode=multi_processing',
]


@pytest.fixture(autouse=True)
def _workers_can_import(monkeypatch):
  # As an installed package can be; from a checkout it takes the path.
  monkeypatch.setenv('PYTHONPATH', str(ROOT))


@pytest.fixture(scope='module')
def many(tmp_path_factory) -> pathlib.Path:
  """A folder with 6,400 links to the dummy pictures, and their labels."""
  folder = tmp_path_factory.mktemp('many')
  (folder / 'images').mkdir()
  pictures = sorted((DUMMY / 'val_images').iterdir())
  lines = []
  for i in range(NUM_IMAGES):
    os.link(_copy(pictures[i % 8], folder), folder / 'images' / f'{i}.jpg')
    lines.append(f'{i}.jpg {i % 10}\n')
  (folder / 'labels.txt').write_text(''.join(lines))
  return folder


def _copy(picture: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
  copy = folder / picture.name
  if not copy.exists():
    copy.write_bytes(picture.read_bytes())
  return copy


def plan_of(folder: pathlib.Path) -> plan_lib.Plan:
  examples = join.locate(
    labels_lib.read_labels(str(folder / 'labels.txt')),
    sources.open_source(str(folder / 'images')),
  )
  return plan_lib.Plan(
    examples=examples,
    lengths=plan_lib.shard_lengths(examples.sizes, NUM_SHARDS),
    filenames=[f'part_{i:02d}' for i in range(NUM_SHARDS)],
  )


def contents(folder: pathlib.Path) -> dict[str, bytes]:
  return {path.name: path.read_bytes() for path in folder.glob('part_??')}


@pytest.fixture(scope='module')
def expected(many, tmp_path_factory) -> dict[str, bytes]:
  """What threads write."""
  folder = tmp_path_factory.mktemp('expected')
  shards.write_plans([plan_of(many)], str(folder), run=runners.run_threads)
  return contents(folder)


def kill_when_first_shard_is_there(folder: pathlib.Path, victims) -> list[int]:
  """Kills one of `victims()` as soon as a shard is written.

  Returns:
    A list that gets two numbers then: of the shards that are written, and the
    time.
  """
  written: list[int] = []

  def wait_and_kill():
    while not any(folder.glob('part_??.json')):
      over.wait(0.001)
    written.append(len(list(folder.glob('part_??.json'))))
    os.kill(victims()[0], signal.SIGKILL)
    written.append(time.monotonic())

  over = threading.Event()
  threading.Thread(target=wait_and_kill, daemon=True).start()
  return written


def test_a_shard_pickles_small(many):
  whole = plan_of(many)
  sizes = [len(pickle.dumps(shard)) for shard in whole.shards()]
  assert max(sizes) < 6_000  # 100 images each


def test_two_processes_build_the_same_dataset(tmp_path, capfd):
  lines = (DUMMY / 'val.txt').read_text().splitlines()
  for name, part in (('train', lines[2:]), ('test', lines[:4])):
    (tmp_path / name).write_text('\n'.join(part))
  config = imagenet_val_tfrec.ImagenetValTfrecConfig(
    name='halves',
    image_dir=DUMMY / 'val_images',
    splits={name: tmp_path / name for name in ('train', 'test')},
    shuffle='train',
    num_classes=1000,
  )
  folders = []
  for name, options in (
    ('threads', None),
    ('beam', pipeline_options.PipelineOptions(TWO_PROCESSES)),
  ):
    builder = imagenet_val_tfrec.Builder(
      data_dir=tmp_path / name, config=config
    )
    with pytest.warns(UserWarning, match="2 images of split 'test' are in"):
      builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(
          num_shards=4, beam_options=options
        )
      )
    folders.append(pathlib.Path(builder.data_dir))
  threads, beam = (
    {path.name: path.read_bytes() for path in folder.iterdir()}
    for folder in folders
  )
  assert threads == beam
  # Each process logs two lines before it is told to log errors alone.
  assert capfd.readouterr().err.count('INFO:') <= 2
  assert len(threads) == 2 * 4 + 4  # Shards, metadata files and SHA256SUMS.


def test_two_processes_convert_a_tar_in_an_object_store(tmp_path):
  options = {
    'image_dir': f'{DUMMY}/ILSVRC2012_img_val.tar',
    'label_file': f'{DUMMY}/val.txt',
    'img_shard': 3,
  }
  images_to_tfrec.make_tfrec(tfrec_dir=str(tmp_path), **options)
  with stores.s3() as store:
    store.system.put(options['image_dir'], f'{stores.BUCKET}/in.tar')
    images_to_tfrec.make_tfrec(
      **options | {'image_dir': f's3://{stores.BUCKET}/in.tar'},
      tfrec_dir=f's3://{stores.BUCKET}/out',
      beam_pipeline_options=','.join(w.lstrip('-') for w in TWO_PROCESSES),
    )
    there = store.system.cat(store.system.find(f'{stores.BUCKET}/out'))
  assert {pathlib.Path(name).name: there[name] for name in there} == {
    path.name: path.read_bytes() for path in tmp_path.iterdir()
  }


def test_beam_knows_the_options_of_the_docs():
  page = (ROOT / 'docs' / 'SCALE.md').read_text()
  lines = re.findall('^runner=.+', page, re.M)
  assert len(lines) == 4
  for line in lines:
    flags = [f'--{option}' for option in line.split(',')]
    options = pipeline_options.PipelineOptions(flags)
    assert len(options.get_all_options(drop_default=True)) == len(flags), line


def test_a_killed_dask_worker_costs_nothing(tmp_path, many, expected):
  distributed = pytest.importorskip(
    'dask.distributed', reason='extra "dask" is not installed'
  )
  with (
    distributed.LocalCluster(
      n_workers=2,
      threads_per_worker=1,
      processes=True,
      dashboard_address=None,
    ) as cluster,
    distributed.Client(cluster) as client,
  ):
    pids = list(client.run(os.getpid).values())
    written = kill_when_first_shard_is_there(tmp_path, lambda: pids)
    shards.write_plans(
      [plan_of(many)],
      str(tmp_path),
      run=runners.from_flags(
        0,
        'runner=apache_beam.runners.dask.dask_runner.DaskRunner,'
        f'dask_client_address={cluster.scheduler_address}',
      ),
    )
    assert not psutil.pid_exists(pids[0])
  assert 0 < written[0] < NUM_SHARDS
  assert contents(tmp_path) == expected


def test_a_killed_direct_worker_costs_one_more_run(tmp_path, many, expected):
  def workers() -> list[int]:
    return [
      process.pid
      for process in psutil.Process().children(recursive=True)
      if 'apache_beam.runners.worker.sdk_worker_main' in process.cmdline()
    ]

  run = functools.partial(
    runners.run_beam, options=pipeline_options.PipelineOptions(TWO_PROCESSES)
  )
  written = kill_when_first_shard_is_there(tmp_path, workers)
  with pytest.raises(errors.LostWorkerError, match='run this again'):
    shards.write_plans([plan_of(many)], str(tmp_path), run=run)
  assert time.monotonic() - written[1] < 10
  assert not workers()
  assert 0 < written[0] <= len(contents(tmp_path)) < NUM_SHARDS
  shards.write_plans([plan_of(many)], str(tmp_path), run=run)
  assert contents(tmp_path) == expected


def test_bad_images_are_counted_over_all_workers(tmp_path, many):
  bad = tmp_path / 'bad'
  bad.mkdir()
  (bad / 'images').mkdir()
  for i in range(40):
    data = b'GIF89a' if i % 4 == 0 else (many / 'images/0.jpg').read_bytes()
    (bad / 'images' / f'{i}.jpg').write_bytes(data)
  lines = [f'{i}.jpg 0\n' for i in range(40)]
  (bad / 'labels.txt').write_text(''.join(lines))
  examples = join.locate(
    labels_lib.read_labels(str(bad / 'labels.txt')),
    sources.open_source(str(bad / 'images')),
  )
  broken = plan_lib.Plan(
    examples=examples, lengths=[10] * 4, filenames=list('abcd')
  )
  (tmp_path / 'out').mkdir()
  run = functools.partial(runners.run_beam, runner='DirectRunner')
  with pytest.raises(ValueError, match='10 images cannot be used') as error:
    shards.write_plans([broken], str(tmp_path / 'out'), run=run)
  assert str(error.value).count('a GIF image') == 10
