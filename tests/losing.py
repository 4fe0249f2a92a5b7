"""Records what a command does to a folder, and pulls the plug at every step.

    python tests/losing.py COMMAND FOLDER [DISK]

COMMAND is one of `COMMANDS`. It runs once, while each change of names is
recorded, each content, and each `fsync`. From that is known what a disk may
hold if the machine stops after any of the steps: all that was done, or only
what was synced, or something between. Each of these is made, and looked at:
the old dataset is there, whole, or the new one; the same command succeeds then.
Ends with what is wrong, or prints how many such states there were.

With DISK, where FOLDER/image is mounted, it runs there, and what the image
holds after each `fsync` is looked at instead.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import itertools
import json
import os
import pathlib
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

import dying
import making
import tensorflow_datasets as tfds
from absl import logging

import imagenet_val_tfrec.__main__ as tool
from imagenet_val_tfrec import images_to_tfrec
from imagenet_val_tfrec.core import storage
from imagenet_val_tfrec.records import raw_files, sums
from imagenet_val_tfrec.writing import runners

# Inodes: a file's bytes, a folder's names and what they are the names of.
Tree = Mapping[int, bytes | Mapping[str, int]]

OVER = 'at the end'
# Ends of the names of files that no run looks into.
UNREAD = ('owner.json', '.part')

LABELS = [3, 1, 4, 1, 5, 9]
OLD_LABELS = [2, 7, 1]
OTHER_LABELS = [8, 2, 8, 1, 8, 2]


@dataclasses.dataclass(frozen=True)
class Step:
  """What there is after a step; `synced` are inodes on the disk from now on."""

  now: Tree
  synced: frozenset[int] = frozenset()


class Recorder:
  """Takes down each step of this process below a folder."""

  def __init__(self, folder: pathlib.Path):
    self._folder = folder
    self._held: dict[int, int] = {}  # Descriptors: no number is used twice.
    self._is_on = False
    self.steps: list[Step] = []
    sys.addaudithook(self._before)
    self._fsync, os.fsync = os.fsync, self._sync

  @contextlib.contextmanager
  def recording(self) -> Iterator[None]:
    self._take_down()
    self._is_on = True
    yield
    self._is_on = False
    self._take_down()
    for descriptor in self._held.values():
      os.close(descriptor)

  def killed(self, run: Callable[[pathlib.Path, bool], None], at: str) -> None:
    """Runs in a child, which is killed when it has given a file that name."""
    dump = self._folder.with_name('steps')

    def give_and_die(give: Callable, path: str, target: str) -> None:
      give(path, target)
      if target.endswith(at):
        self._take_down()
        dump.write_bytes(pickle.dumps(self.steps))
        os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
      storage.link = functools.partial(give_and_die, storage.link)
      storage.replace = functools.partial(give_and_die, storage.replace)
      run(self._folder, True)

    if (status := dying.in_child(work)) != -signal.SIGKILL:
      sys.exit(f'{at} was never there: ended with {status}')
    self.steps = pickle.loads(dump.read_bytes())

  def _before(self, event: str, args: tuple[object, ...]) -> None:
    if self._is_on and event in dying.STEPS:
      self._take_down()

  def _sync(self, descriptor: int) -> None:
    self._take_down()
    now = self.steps[-1].now
    self._fsync(descriptor)
    synced = frozenset([os.fstat(descriptor).st_ino])
    self.steps.append(Step(now, synced))

  def _take_down(self) -> None:
    was_on, self._is_on = self._is_on, False
    now: dict[int, bytes | Mapping[str, int]] = {}
    self._look(self._folder, now)
    if not self.steps or self.steps[-1].now != now:
      self.steps.append(Step(now))
    self._is_on = was_on

  def _look(self, path: pathlib.Path, now: dict) -> int:
    inode = path.lstat().st_ino
    if inode not in self._held:
      self._held[inode] = os.open(path, os.O_PATH)
    if inode not in now:
      if path.is_dir():
        now[inode] = {p.name: self._look(p, now) for p in path.iterdir()}
      else:
        now[inode] = path.read_bytes()
    return inode


def crashes(
  steps: list[Step], root: int, lost: frozenset[int]
) -> Iterator[tuple[str, Tree]]:
  """Yields what a disk may hold after a crash: after which step, and how.

  Args:
    steps: As recorded; the first one is what was there before.
    root: The folder's inode.
    lost: Inodes of the first step that were not on the disk.
  """
  chance = random.Random(1)
  seen = dict(steps[0].now)
  synced = {i: what for i, what in seen.items() if i not in lost}
  names = {i: dict(w) for i, w in synced.items() if isinstance(w, dict)}
  pending: list[dict[tuple[int, str], int | None]] = []

  def content(inode: int, found: Tree) -> bytes | Mapping[str, int]:
    nothing = {} if isinstance(seen[inode], dict) else b''
    return found.get(inode, nothing)

  def choose(
    folders: Callable[[int], Mapping[str, int]], files: Callable[[int], bytes]
  ) -> Tree:
    return {
      i: folders(i) if isinstance(what, dict) else files(i)
      for i, what in seen.items()
    }

  pairs = [*itertools.pairwise(steps)]
  for number, (before, step) in enumerate(pairs, 1):
    now = step.now
    seen.update(now)
    change: dict[tuple[int, str], int | None] = {}
    for inode, what in now.items():
      if isinstance(what, dict):
        was = before.now.get(inode, {})
        for name in was.keys() | what.keys():
          if was.get(name) != what.get(name):
            change[inode, name] = what.get(name)
    pending.append(change)
    for inode in step.synced & now.keys():
      synced[inode] = now[inode]
      # A rename that leaves one folder comes to the other one.
      done = [c for c in pending if any(key[0] == inode for key in c)]
      pending = [c for c in pending if c not in done]
      for (folder, name), target in itertools.chain(*(c.items() for c in done)):
        names.setdefault(folder, {})[name] = target

    of_now = functools.partial(content, found=now)
    of_disk = functools.partial(content, found=synced)

    def torn(inode: int, now: Tree = now) -> bytes:
      data, on_disk = content(inode, now), content(inode, synced)
      half = data != on_disk and len(data) % 2
      return data[: len(data) // 2] if half else on_disk

    def less(inode: int, now: Tree = now) -> Mapping[str, int]:
      return {n: i for n, i in content(inode, synced).items() if i in now}

    some = {folder: dict(entries) for folder, entries in names.items()}
    for change in pending:
      if chance.random() < 0.5:
        for (folder, name), target in change.items():
          some.setdefault(folder, {})[name] = target

    def chosen(inode: int, some: Mapping = some) -> Mapping[str, int]:
      entries = some.get(inode, {})
      return {name: i for name, i in entries.items() if i is not None}

    at = OVER if number == len(pairs) else f'step {number} of {len(pairs)}'
    yield from (
      (f'{at}, {how}', tree)
      for how, tree in {
        'all is kept': choose(of_now, of_now),
        'nothing else is kept': choose(of_disk, of_disk),
        'names are kept': choose(of_now, torn),
        'what is gone is gone': choose(less, of_disk),
        'some names are kept': choose(chosen, of_disk),
      }.items()
    )


def make(
  tree: Tree,
  inode: int,
  path: pathlib.Path,
  made: dict[int, pathlib.Path],
) -> None:
  """Makes a file, or a folder and all in it, below an empty place."""
  what = tree[inode]
  if isinstance(what, bytes):
    if inode in made:
      os.link(made[inode], path)
    else:
      path.write_bytes(what)
      made[inode] = path
    return
  path.mkdir()
  for name, child in what.items():
    make(tree, child, path / name, made)


def key_of(tree: Tree, inode: int) -> Hashable:
  """Returns what tells this tree from others that are to be tried."""
  what = tree[inode]
  if isinstance(what, bytes):
    return inode, what
  return frozenset(
    (name, not name.endswith(UNREAD) and key_of(tree, child))
    for name, child in what.items()
  )


# --- commands ---


@dataclasses.dataclass(frozen=True, kw_only=True)
class Command:
  """A command to record.

  Attributes:
    prepare: Makes in a folder what is there before.
    run: Runs it; takes the folder, and whether it may overwrite.
    read: Returns the labels that a reader of the folder finds, None if nothing
      can be read.
    old: The labels that are there before.
    new: The labels that are there in the end.
    can_be_away: Whether the old ones may be put back by the next run only.
    killed_at: Before that it runs in a child, which is killed when it has given
      a file a name that ends so.
    first: What runs in the child, if it is not the same.
  """

  prepare: Callable[[pathlib.Path], None]
  run: Callable[[pathlib.Path, bool], None]
  read: Callable[[pathlib.Path], list[int] | None]
  old: list[int] | None = None
  new: list[int] = dataclasses.field(default_factory=lambda: LABELS)
  can_be_away: bool = False
  killed_at: str = ''
  first: Callable[[pathlib.Path, bool], None] | None = None


def input_of(folder: pathlib.Path, labels: list[int]) -> pathlib.Path:
  return folder.with_name('_'.join(map(str, labels)))


def write_input(folder: pathlib.Path, labels: list[int]) -> None:
  files = making.many(len(labels))
  making.write_folder(folder / 'images', files)
  lines = [f'{n} {i}\n' for n, i in zip(files, labels, strict=True)]
  (folder / 'labels.txt').write_text(''.join(lines))


def build(labels: list[int], folder: pathlib.Path, overwrite: bool) -> None:
  mode = dying.OVERWRITE if overwrite else dying.REUSE
  making.build(
    folder / 'data',
    image_dir=input_of(folder, labels) / 'images',
    label_file=input_of(folder, labels) / 'labels.txt',
    options={'num_shards': 3, 'download_mode': mode},
  )


def convert(
  labels: list[int], folder: pathlib.Path, overwrite: bool, to: str = 'raw'
) -> None:
  where = input_of(folder, labels)
  flags = ['--overwrite'] * overwrite
  finish(
    images_to_tfrec.main,
    *('-dir', str(where / 'images'), '-l', str(where / 'labels.txt')),
    *('-tfdir', str(folder / to), '-s', '2', '--workers', '1', *flags),
  )


def adopt(folder: pathlib.Path, overwrite: bool, of: str = 'raw') -> None:
  config = '{"name": "made", "num_classes": 10}'
  flags = ['--overwrite'] * overwrite
  finish(
    tool.main,
    *('adopt', str(folder / of), '--data_dir', str(folder / 'data')),
    *('--config', config, *flags),
  )


def finish(main: Callable[[list[str]], int], *arguments: str) -> None:
  """Runs a command line; raises ValueError if it does not end with 0."""
  said = io.StringIO()
  with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
    code = main(list(arguments))
  if code:
    raise ValueError(said.getvalue())


def read_dataset(folder: pathlib.Path) -> list[int] | None:
  name_file = folder / 'data' / 'imagenet_val_tfrec/.config/metadata.json'
  if name_file.exists():
    json.loads(name_file.read_text())
  version = folder / 'data' / dying.DATASET
  if not version.exists():
    return None
  (split,) = tfds.builder_from_directory(version).info.splits.values()
  return dying.labels_of(split.filepaths)


def read_raw(folder: pathlib.Path) -> list[int] | None:
  try:
    paths = raw_files.legacy_shards(folder / 'raw')
  except (FileNotFoundError, ValueError):
    return None
  return dying.labels_of(paths)


def prepare_adopt(folder: pathlib.Path) -> None:
  convert(OLD_LABELS, folder, False, to='old')
  adopt(folder, False, of='old')
  convert(LABELS, folder, False)


def refused(
  run: Callable[[pathlib.Path, bool], None], folder: pathlib.Path, _: bool
) -> None:
  """Runs without leave to overwrite."""
  with contextlib.suppress(ValueError):
    run(folder, False)


def without_exchange(folder: pathlib.Path, overwrite: bool) -> None:
  exchange, storage.exchange = storage.exchange, lambda *_: False
  try:
    build(LABELS, folder, overwrite)
  finally:
    storage.exchange = exchange


OVERWRITE = Command(
  prepare=lambda folder: build(OLD_LABELS, folder, False),
  run=functools.partial(build, LABELS),
  read=read_dataset,
  old=OLD_LABELS,
)
CONVERT = Command(
  prepare=lambda folder: convert(OLD_LABELS, folder, False),
  run=functools.partial(convert, LABELS),
  read=read_raw,
  old=OLD_LABELS,
  can_be_away=True,
)
COMMANDS = {
  'build': dataclasses.replace(
    OVERWRITE, prepare=lambda folder: None, old=None
  ),
  'overwrite': OVERWRITE,
  'overwrite_without_exchange': dataclasses.replace(
    OVERWRITE, run=without_exchange, can_be_away=True
  ),
  'convert': dataclasses.replace(CONVERT, killed_at='raw/data_1.tfrecord'),
  'convert_published': dataclasses.replace(
    CONVERT, killed_at='raw/data_0.tfrecord'
  ),
  'convert_after_another': dataclasses.replace(
    CONVERT,
    first=functools.partial(convert, OTHER_LABELS),
    killed_at='publishing.json',
  ),
  'overwrite_put_back': dataclasses.replace(
    OVERWRITE,
    first=without_exchange,
    killed_at='/old',
    run=functools.partial(refused, without_exchange),
    new=OLD_LABELS,
    can_be_away=True,
  ),
  'convert_put_back': dataclasses.replace(
    CONVERT,
    first=CONVERT.run,
    killed_at='raw/data_1.tfrecord',
    run=functools.partial(refused, CONVERT.run),
    new=OLD_LABELS,
  ),
  'adopt': Command(
    prepare=prepare_adopt, run=adopt, read=read_dataset, old=OLD_LABELS
  ),
}


def check(
  command: Command,
  folder: pathlib.Path,
  is_over: bool,
  raw: Mapping[str, bytes],
) -> None:
  """Raises AssertionError if what a crash left is not as it should be."""
  os.environ[storage.NO_SYNC] = '1'
  found = command.read(folder)
  whole = [command.new] if is_over else [command.new, command.old]
  if command.can_be_away and found is None and not is_over:
    with contextlib.suppress(ValueError):  # It is there again.
      command.run(folder, False)
    found = command.read(folder)
  assert found in whole, f'{found} is there, not one of {whole}'
  for name, content in raw.items():  # As they were lost, not by us.
    (folder / 'raw' / name).write_bytes(content)
  if is_over and command.read is read_dataset:
    assert (folder / 'data/imagenet_val_tfrec/.config/metadata.json').exists()
  command.run(folder, True)
  found = command.read(folder)
  assert found == command.new, f'then {found} is there'
  if command.new == LABELS:
    assert not list(folder.rglob('*incomplete*')), 'something is left behind'
    for path in folder.rglob(sums.FILENAME):
      for name, digest in sums.read(str(path.parent)).items():
        assert sums.of_file(str(path.parent / name)) == digest, path


def try_all(
  command: Command,
  left: Iterable[tuple[str, Callable[[pathlib.Path], None]]],
  copy: pathlib.Path,
  raw: Mapping[str, bytes],
) -> int:
  """Checks what is left after each crash; returns how often.

  Args:
    command: The command.
    left: What crashes leave: a name, and what makes it; the last ones are after
      the command's end.
    copy: Where it is made.
    raw: As `check`.
  """
  number = 0
  for how, put in left:
    number += 1
    shutil.rmtree(copy, ignore_errors=True)
    put(copy)
    try:
      check(command, copy, how.startswith(OVER), raw)
    except Exception as e:
      traceback.print_exc()
      sys.exit(f'{how}: {type(e).__name__}: {e}')
  return number


def from_records(
  steps: list[Step], root: int, lost: frozenset[int]
) -> Iterator[tuple[str, Callable[[pathlib.Path], None]]]:
  """Yields what crashes may leave, by what was recorded; none of it twice."""
  seen = set()
  for how, tree in crashes(steps, root, lost):
    key = how.startswith(OVER), key_of(tree, root)
    if key not in seen:
      seen.add(key)
      yield how, functools.partial(make, tree, root, made={})


def from_disk(
  command: Command, folder: pathlib.Path, image: pathlib.Path
) -> Iterator[tuple[str, Callable[[pathlib.Path], None]]]:
  """Yields what crashes leave: what a disk holds after each sync.

  Args:
    command: Is run.
    folder: Where; on the disk.
    image: What the disk is kept in.
  """
  fsync, copies = os.fsync, image.with_name('copies')
  mounted = image.with_name('mounted')
  copies.mkdir()
  mounted.mkdir()
  one_at_a_time = threading.Lock()

  def keep() -> None:
    copy = copies / f'{len(list(copies.iterdir())):03d}'
    subprocess.run(['cp', '--sparse=always', image, copy], check=True)

  def sync_and_keep(descriptor: int) -> None:
    with one_at_a_time:
      fsync(descriptor)
      keep()

  subprocess.run(['sync', '-f', folder], check=True)
  keep()
  os.fsync = sync_and_keep
  command.run(folder, True)
  os.fsync = fsync
  keep()
  *before, last = sorted(copies.iterdir())
  for kept in (*before, last):

    def put(target: pathlib.Path, kept: pathlib.Path = kept) -> None:
      subprocess.run(['mount', '-o', 'loop', kept, mounted], check=True)
      # With its hard links.
      subprocess.run(['cp', '-a', mounted / folder.name, target], check=True)
      subprocess.run(['umount', mounted], check=True)

    yield OVER if kept == last else f'copy {kept.name}', put


def main() -> None:
  tfds.disable_progress_bar()
  logging.set_verbosity(logging.ERROR)
  runners.run_threads = functools.partial(runners.run_threads, workers=1)
  name, where, *disk = sys.argv[1:]
  command, above = COMMANDS[name], pathlib.Path(where)
  folder = pathlib.Path(*disk or [where]) / 'folder'
  folder.mkdir()
  for labels in (LABELS, OLD_LABELS, OTHER_LABELS):
    write_input(input_of(folder, labels), labels)
    write_input(input_of(above / 'copy', labels), labels)
  command.prepare(folder)
  raw, lost = {}, frozenset()
  if disk:
    left = from_disk(command, folder, above / 'image')
  else:
    if name == 'adopt':  # Files that were written a moment ago.
      files = list((folder / 'raw').iterdir())
      raw = {path.name: path.read_bytes() for path in files}
      lost = frozenset(path.lstat().st_ino for path in files)
    recorder = Recorder(folder)
    with recorder.recording():
      if command.killed_at:
        recorder.killed(command.first or command.run, command.killed_at)
      command.run(folder, True)
    left = from_records(recorder.steps, folder.lstat().st_ino, lost)
  print(f'{try_all(command, left, above / "copy", raw)} states')


if __name__ == '__main__':
  main()
