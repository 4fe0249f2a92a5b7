"""One contract for all runners and sources; retries and lost workers.

Of `plan`, `shards` and `workers`, too.
"""

import concurrent.futures
import functools
import hashlib
import os
import pathlib

import pytest

from imagenet_val_tfrec.core import workers
from imagenet_val_tfrec.inputs import join, sources
from imagenet_val_tfrec.inputs import labels as labels_lib
from imagenet_val_tfrec.writing import plan as plan_lib
from imagenet_val_tfrec.writing import runners, shards

DUMMY = pathlib.Path(__file__).parents[2] / 'dummy_data'

RUNNERS = {
  'one thread': functools.partial(runners.run_threads, workers=1),
  'many threads': functools.partial(runners.run_threads, workers=7),
  'beam': functools.partial(runners.run_beam, runner='DirectRunner'),
}


@pytest.mark.parametrize(
  ('image_bytes', 'remote', 'expected'),
  [(1e3, False, 1), (11e3, False, 1), (64e3, False, 6), (1e3, True, 6)],
)
def test_number_of_threads(monkeypatch, image_bytes, remote, expected):
  monkeypatch.setattr(workers, 'num_cpus', lambda: 3)
  assert workers.num_threads(image_bytes, remote=remote) == expected


def dummy_plan(source='ILSVRC2012_img_val.tar', num_shards=3) -> plan_lib.Plan:
  examples = join.locate(
    labels_lib.read_labels(str(DUMMY / 'val.txt')),
    sources.open_source(str(DUMMY / source)),
  )
  lengths = plan_lib.shard_lengths(examples.sizes, num_shards)
  return plan_lib.Plan(
    examples=examples,
    lengths=lengths,
    filenames=[f'part_{i}' for i in range(len(lengths))],
  )


def digests(folder) -> dict[str, str]:
  return {
    path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    for path in sorted(folder.iterdir())
    if path.suffix != '.json'
  }


@pytest.mark.parametrize('num_shards', [1, 3, 8])
@pytest.mark.parametrize('source', ['ILSVRC2012_img_val.tar', 'val_images'])
@pytest.mark.parametrize('runner', RUNNERS)
def test_same_bytes_everywhere(tmp_path, runner, source, num_shards):
  reference = tmp_path / 'reference'
  reference.mkdir()
  for shard in dummy_plan(num_shards=num_shards).shards():
    shards.write_shard(shard, str(reference))
  folder = tmp_path / 'out'
  folder.mkdir()
  told = []
  [summary] = shards.write_plans(
    [dummy_plan(source, num_shards)],
    str(folder),
    run=RUNNERS[runner],
    progress=lambda images, size: told.append((images, size)),
  )
  assert digests(folder) == digests(reference)
  assert len(digests(folder)) == num_shards
  assert summary.chans == {'1': 1, '3': 6, '4': 1}
  assert sum(images for images, _ in told) == 8
  total = sum(path.stat().st_size for path in (DUMMY / 'val_images').iterdir())
  assert sum(size for _, size in told) == total


def test_an_order_for_all_times():
  labels = labels_lib.read_labels(str(DUMMY / 'val.txt'))
  mixed = plan_lib.shuffled(labels, 7)
  assert list(mixed.lines) == [7, 4, 2, 1, 6, 8, 5, 3]
  for label, name, line in zip(
    mixed.labels, mixed.names, mixed.lines, strict=True
  ):
    assert labels.names[line - 1] == name
    assert labels.labels[line - 1] == label


def test_many_attempts_at_one_shard_end_in_one(tmp_path):
  (shard,) = dummy_plan(num_shards=1).shards()
  for name in ('one', 'many'):
    (tmp_path / name).mkdir()
  shards.write_shard(shard, str(tmp_path / 'one'))
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    folder = str(tmp_path / 'many')
    for _ in range(20):
      list(pool.map(shards.write_shard, [shard] * 8, [folder] * 8))
      assert digests(tmp_path / 'many') == digests(tmp_path / 'one')
      assert sorted(os.listdir(folder)) == ['part_0', 'part_0.json']
      for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
