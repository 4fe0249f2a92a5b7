"""`imagenet_val_tfrec inspect`: what is there, before anything is built."""

from __future__ import annotations

import argparse
import array
import collections
import functools
import hashlib
import json
import os
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm

from imagenet_val_tfrec.core import errors, progress, storage
from imagenet_val_tfrec.core import workers as workers_lib
from imagenet_val_tfrec.dataset import config as config_lib
from imagenet_val_tfrec.dataset import duplicates, features
from imagenet_val_tfrec.imagenet_val_tfrec_dataset_builder import Builder
from imagenet_val_tfrec.inputs import discovery, imagenet, join, layouts
from imagenet_val_tfrec.records import images
from imagenet_val_tfrec.records import record as record_lib
from imagenet_val_tfrec.writing import plan as plan_lib
from imagenet_val_tfrec.writing import shards

_Config = config_lib.ImagenetValTfrecConfig

_AT_A_TIME = 256  # Images.
_BAR = 40  # Characters.
# By the channels; a JPEG has no alpha.
_COLOURS = {1: 'gray', 2: 'gray with alpha', 3: 'colour', 4: 'with alpha'}


class _Looked:
  """What was found in images of a split, in order."""

  def __init__(self) -> None:
    self.formats: collections.Counter[str] = collections.Counter()
    self.colours: collections.Counter[str] = collections.Counter()
    self.sides = array.array('i')  # Height and width, one after the other.
    self.keys = array.array('Q')  # As in a `Summary`.
    self.problems: list[str] = []

  def add(self, more: _Looked) -> None:
    self.formats += more.formats
    self.colours += more.colours
    self.sides += more.sides
    self.keys += more.keys
    self.problems += more.problems


def add_to(commands: Any) -> None:
  """Adds the command to those of a parser."""
  parser = commands.add_parser(
    'inspect',
    help='say what a folder or a tar holds, before anything is built',
    description='Reads all images, and says what a build would make of them: '
    'splits, classes, formats, sizes, what would be refused and why. Writes '
    'nothing but the page that --html asks for. Ends with 0 if a build would '
    'succeed, with 1 if not.',
  )
  parser.set_defaults(work=_inspect, unusable=1)
  option = parser.add_argument
  option(
    'path',
    nargs='?',
    help='folder or tar of images, or what `build` takes as manual_dir',
  )
  option('--config', metavar='JSON', help='what to build, as for `build`')
  option('--html', metavar='FILE', help='write a page with pictures of a class')
  option('--workers', type=int, default=0, help='threads (0: as many as fit)')


def _inspect(arguments: argparse.Namespace) -> int:
  workers_lib.check_workers(arguments.workers)
  config, flags = _find(arguments.path, arguments.config)
  label = config.label_feature()
  classes = features.class_label(label)
  examples = config.examples(arguments.path or '', 0, label)
  start = time.monotonic()
  looked = _look(examples, config, arguments.workers)
  seconds = time.monotonic() - start
  name = functools.partial(_name, classes.names)
  for split, found in looked.items():
    lines = _describe(split, examples[split], found, len(classes.names), name)
    print(errors.harmless('\n'.join(lines)))
  if arguments.html:
    from imagenet_val_tfrec.commands import inspect_html

    inspect_html.write(arguments.html, examples, name)
    print(f'pictures: {arguments.html}')
  bad: dict[Any, list[str]] = {}
  for split, found in looked.items():
    if found.problems:
      bad.setdefault(examples[split].source, []).extend(found.problems)
  if bad:
    raise shards.image_error(bad)
  keys = {split: found.keys for split, found in looked.items()}
  duplicates.check(examples, keys, config.refuse_duplicates)
  size = sum(e.image_bytes() + e.overhead() * len(e) for e in examples.values())
  seconds += size / _hashed_in_a_second()
  print(
    f'a build: at most {size / 1e6:,.1f} MB; here at least {seconds:,.1f} s, '
    f'and more if the disk writes slowly\nto build: {flags}'
  )
  return 0


def _find(path: str | None, flag: str | None) -> tuple[_Config, str]:
  """Returns the config for what is at a path, and the command that builds it.

  Official images without folders of other splits are a `manual_dir`.
  """
  command = 'imagenet_val_tfrec build'
  if path:
    path = os.path.expanduser(path)
    manual_dir = f' --manual_dir {shlex.quote(path)}'
  if flag:
    named = {config.name: config for config in Builder.BUILDER_CONFIGS}
    config = named.get(flag) or config_lib.from_flag(flag)
    if not isinstance(config, _Config):
      known = ', '.join(named)
      raise errors.InputError(
        f'config is {flag!r}, expected one as JSON, or {known}'
      )
    said = os.path.expanduser(config.image_dir or '')
    if path and said and os.path.realpath(said) != os.path.realpath(path):
      raise errors.InputError(
        f'path is {path!r}, but image_dir in the config is '
        f'{config.image_dir!r}; leave one of them out'
      )
    there = manual_dir if path else ''
    return config, f'{command}{there} --config {shlex.quote(flag)}'
  if not path:
    raise errors.InputError('expected a path, or --config')
  refused = None
  try:
    layout = layouts.look(path)
    official = not layout.class_names and not any(
      part.label_file for part in layout.parts.values()
    )
  except layouts.LayoutError as e:
    official, refused = True, e
  if official and storage.is_folder(path):
    try:
      discovery.find_images(path)
    except FileNotFoundError:
      pass
    else:
      return Builder.BUILDER_CONFIGS[0], command + manual_dir
  if refused:
    raise refused
  stem = os.path.basename(os.path.abspath(path)).removesuffix('.tar')
  options: dict[str, Any] = {
    'name': re.sub(r'[^\w+=-]', '_', stem),
    'image_dir': path,
  }
  flag = shlex.quote(json.dumps(options))
  return _Config(**options), f'{command} --config {flag}'


def _look(
  examples: Mapping[str, join.Examples], config: _Config, workers: int
) -> dict[str, _Looked]:
  """Reads all images as a build does; returns what was found in each split."""
  # Made as they are asked for: together they take as much memory as the plan.
  parts = (
    (split, of_split.part(start, min(start + _AT_A_TIME, len(of_split))))
    for split, of_split in examples.items()
    for start in range(0, len(of_split), _AT_A_TIME)
  )
  looked = {split: _Looked() for split in examples}
  total = sum(map(len, examples.values()))
  work = functools.partial(_look_at_part, config=config)
  threads = workers or workers_lib.num_threads(
    sum(e.image_bytes() for e in examples.values()) / total,
    remote=any(storage.is_remote(e.source.path) for e in examples.values()),
  )
  with progress.progress_bar(
    tqdm.tqdm, images=total, description='Looking'
  ) as report:
    results = workers_lib.in_order(work, parts, threads, threading.Event())
    for (split, part), found in results:
      looked[split].add(found)
      report(len(part), part.image_bytes())
  return looked


def _look_at_part(
  part: tuple[str, join.Examples], config: _Config
) -> tuple[tuple[str, join.Examples], _Looked]:
  shard = plan_lib.Shard(
    filename='', file_format='', examples=part[1], checks=config.checks()
  )
  found = _Looked()
  for record, problem in shards.read_checked(shard, shards.LARGE_IMAGES):
    if record:
      image_format = images.format_of(record.image)
      found.formats[image_format] += 1
      is_cmyk = record.chans == 4 and image_format == 'JPEG'
      found.colours['CMYK' if is_cmyk else _COLOURS[record.chans]] += 1
      found.sides.extend((record.height, record.width))
      found.keys.append(shards.key_of(record.image))
    else:
      found.problems.append(problem)
  return part, found


def _describe(
  split: str,
  examples: join.Examples,
  found: _Looked,
  num_classes: int,
  name: Callable[[int], str],
) -> Iterator[str]:
  """Yields the lines that describe a split."""
  counts = np.bincount(examples.labels.flat(), minlength=num_classes)
  there = np.flatnonzero(counts)
  most, least = int(counts.argmax()), int(there[counts[there].argmin()])

  size = examples.image_bytes() / 1e6
  yield f'{split}: {len(examples):,} images, {size:,.1f} MB'
  ends = dict.fromkeys([name(0), name(num_classes - 1)])
  yield f'  classes: {num_classes:,}, {" to ".join(ends)}'
  if len(there) < num_classes:
    yield f'  classes without an image: {num_classes - len(there):,}'
  if counts[least] == counts[most]:
    yield f'  images of a class: {counts[most]:,}'
  else:
    yield f'  most images: {counts[most]:,}, {name(most)}'
    yield f'  fewest images: {counts[least]:,}, {name(least)}'
  if examples.labels.several:
    numbers = [len(record_lib.each(one)) for one in examples.labels.labels]
    yield f'  labels of an image: {min(numbers):,} to {max(numbers):,}'
  if not found.sides:
    return
  yield f'  formats: {_listed(found.formats)}'
  yield f'  channels: {_listed(found.colours)}'
  sides = np.array(found.sides).reshape(-1, 2)
  short = sides.min(axis=1)
  first, last = sides[short.argmin()], sides[short.argmax()]
  yield (
    f'  height × width: {first[0]}×{first[1]} to {last[0]}×{last[1]}; by the '
    'short side:'
  )
  powers = np.bincount(np.frexp(short)[1])  # Of 2, above it.
  for power in range(np.flatnonzero(powers)[0], len(powers)):
    bar = '█' * -(-_BAR * powers[power] // powers.max())
    span = f'{1 << power >> 1:,} to {(1 << power) - 1:,}'
    yield f'  {span:>16}  {bar:<{_BAR}} {powers[power]:,}'


def _name(names: Sequence[str], label: int) -> str:
  """Returns what a class is called, and what people call it, if ImageNet's."""
  is_imagenet = tuple(names) == imagenet.wnids()
  known = f' ({imagenet.class_name(label)})' if is_imagenet else ''
  return f'{names[label]}{known}'


def _listed(counts: Mapping[str, int]) -> str:
  ordered = sorted(counts.items(), key=lambda item: -item[1])
  return ', '.join(f'{number:,} {what}' for what, number in ordered)


def _hashed_in_a_second() -> float:
  """Returns how many bytes the threads of a build hash in a second."""
  data = bytes(1 << 23)
  start = time.perf_counter()
  hashlib.sha256(data)
  return len(data) / (time.perf_counter() - start) * workers_lib.num_cpus()
