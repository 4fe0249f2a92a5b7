"""Builds in child processes that fail, and says what they leave behind.

    python tests/dying.py HOW DATA_DIR IMAGES LABELS

HOW is one of `FAULTS`. Children are forked from one process that has imported
everything, so that failing a hundred times takes seconds; TensorFlow is not
imported, as it does not survive a fork. Ends with what is wrong, or prints how
many builds failed.

After each failure the dataset is the old one (or none), whole, or the new one;
and the next build succeeds, and leaves nothing else.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
import io
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterable

import making
import tensorflow_datasets as tfds

from imagenet_val_tfrec import images_to_tfrec
from imagenet_val_tfrec.core import storage
from imagenet_val_tfrec.records import frames, raw_files
from imagenet_val_tfrec.records import record as record_lib
from imagenet_val_tfrec.writing import runners

DATASET = 'imagenet_val_tfrec/made/1.0.0'
OVERWRITE = tfds.download.GenerateMode.REUSE_CACHE_IF_EXISTS
REUSE = tfds.download.GenerateMode.REUSE_DATASET_IF_EXISTS

# What Python does to the file system, as its audit hooks name it.
STEPS = {
  *('open', 'os.link', 'os.listdir', 'os.mkdir', 'os.remove', 'os.rename'),
  *('os.rmdir', 'os.scandir', 'os.truncate', 'shutil.rmtree'),
}


@dataclasses.dataclass(frozen=True)
class Case:
  """Builds of the same input, each one in a new data_dir.

  Attributes:
    data_dir: Where the data_dirs are made.
    images: As in the config.
    labels: As in the config.
    mode: Whether a dataset of half the images is there, to be replaced.
  """

  data_dir: pathlib.Path
  images: str
  labels: str
  mode: tfds.download.GenerateMode
  num_shards: int = 3

  @property
  def new(self) -> list[int]:
    """The labels of the dataset to build."""
    lines = pathlib.Path(self.labels).read_text().splitlines()
    return [int(line.split()[1]) for line in lines]

  @property
  def old(self) -> list[int] | None:
    """The labels of the dataset that is there."""
    return self.new[: len(self.new) // 2] if self.mode == OVERWRITE else None

  def build(self, folder: pathlib.Path, num_images: int = 0) -> None:
    making.build(
      folder,
      image_dir=self.images,
      label_file=self.labels,
      num_images=num_images,
      options={'num_shards': self.num_shards, 'download_mode': self.mode},
    )

  def fresh(self, name: str) -> pathlib.Path:
    """Returns a new data_dir, with the old dataset in it if there is one."""
    folder = self.data_dir / name
    shutil.rmtree(folder, ignore_errors=True)
    if self.old:
      template = self.data_dir / 'template'
      if not template.exists():
        self.build(template, num_images=len(self.old))
      shutil.copytree(template, folder)
    return folder

  def check(self, folder: pathlib.Path) -> None:
    """Ends this process if what a failed build left is not as it should be."""
    found = labels_in(folder)
    if found not in (self.old, self.new):
      sys.exit(f'{folder}: half a dataset, {found and len(found)} examples')
    if status := in_child(lambda: self.build(folder)):
      sys.exit(f'{folder}: the next build ended with {status}')
    if labels_in(folder) != self.new:
      sys.exit(f'{folder}: the next build is not right')
    left = making.left_behind(folder)
    if left != [DATASET]:
      sys.exit(f'{folder}: left behind: {left}')


def labels_in(data_dir: pathlib.Path) -> list[int] | None:
  """Returns the labels of the dataset as any reader sees it; None if none."""
  try:
    builder = tfds.builder('imagenet_val_tfrec/made', data_dir=data_dir)
    paths = builder.info.splits['validation'].filepaths
  except (tfds.core.registered.DatasetNotFoundError, ValueError, KeyError):
    return None
  return labels_of(paths)


def labels_of(paths: Iterable[str | os.PathLike[str]]) -> list[int]:
  """Returns the labels in files, each record of which must be sound."""
  found = []
  for path in paths:
    content = pathlib.Path(path).read_bytes()
    position = 0
    while position < len(content):
      start = position + frames.HEADER_SIZE
      end = start + frames.frame_length(content[position:start])
      position = end + frames.FOOTER_SIZE
      frames.check_payload(content[start:end], content[end:position])
      found.append(record_lib.parse(content[start:end]).label)
  return found


def fork(work: Callable[[], None]) -> int:
  """Does the work in a child process, whose id is returned."""
  sys.stdout.flush()
  child = os.fork()
  if child:
    return child
  status = 1
  try:
    work()
    status = 0
  except KeyboardInterrupt:
    status = 128 + signal.SIGINT
  except OSError as e:
    traceback.print_exc()
    status = e.errno or 1
  except BaseException:
    traceback.print_exc()
  os._exit(status)


def wait(child: int) -> int:
  return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_child(work: Callable[[], None]) -> int:
  """Does the work in a child process; returns its exit code."""
  return wait(fork(work))


def signal_at_step(
  number: int, below: pathlib.Path, sent: signal.Signals
) -> None:
  """Sends this process a signal as it is about to touch the folder once more.

  Args:
    number: How often it has touched the folder then.
    below: The folder.
    sent: The signal.
  """
  left = [None] * number
  done = []

  def hook(event: str, args: tuple[object, ...]) -> None:
    if event in STEPS and any(str(a).startswith(str(below)) for a in args):
      if left:
        left.pop()
      elif not done:
        done.append(True)
        os.kill(os.getpid(), sent)

  sys.addaudithook(hook)


def at_every_step(sent: signal.Signals, case: Case) -> int:
  """Sends a signal at the first step, at the second, and so on to the last."""
  number = 0
  while True:
    folder = case.fresh(f'step_{number}')

    def build(folder: pathlib.Path = folder, number: int = number) -> None:
      signal_at_step(number, folder, sent)
      case.build(folder)

    status = in_child(build)
    case.check(folder)
    if status == 0:
      return number
    if status not in (-sent, 128 + sent):
      sys.exit(f'step {number} ended with {status}')
    shutil.rmtree(folder)
    number += 1


def with_few_descriptors(case: Case) -> int:
  """Builds with ever more file descriptors."""
  failed = 0
  used = len(os.listdir('/proc/self/fd'))
  for limit in (*range(used - 1, used + 8), 256):
    folder = case.fresh(f'descriptors_{limit}')

    def build(folder: pathlib.Path = folder, limit: int = limit) -> None:
      resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
      case.build(folder)

    status = in_child(build)
    if status not in (0, errno.EMFILE):
      sys.exit(f'{limit} descriptors: ended with {status}')
    failed += status != 0
    case.check(folder)
    shutil.rmtree(folder)
  if status:
    sys.exit('256 descriptors are too few')
  return failed


def with_little_memory(case: Case) -> int:
  """Builds where the first image does not fit in memory."""
  # A hole behind the end of the image: it takes memory, but no disk.
  os.truncate(next(pathlib.Path(case.images).iterdir()), 90_000_000)
  # Python waits for ever for a thread that begins without memory: have one.
  runners.run_threads = functools.partial(runners.run_threads, workers=1)
  failed = 0
  for more in (1, 20, 40, 4000):
    folder = case.fresh(f'megabytes_{more}')

    def build(folder: pathlib.Path = folder, more: int = more) -> None:
      limit_memory_when_reading(case.images, more << 20)
      case.build(folder)

    status = in_child(build)
    if status not in (0, 1, errno.ENOMEM):
      sys.exit(f'{more} MB: ended with {status}')
    failed += status != 0
    case.check(folder)
    shutil.rmtree(folder)
  if status:
    sys.exit('4 GB are too little')
  return failed


def limit_memory_when_reading(below: str, more: int) -> None:
  """Gives this process so many bytes more than it has when it opens a file."""
  limited = []
  lock = threading.Lock()  # Else other threads read before the limit is set.

  def hook(event: str, args: tuple[object, ...]) -> None:
    if event != 'open' or not str(args[0]).startswith(below):
      return
    with lock:
      if not limited:
        limited.append(True)
        pages = pathlib.Path('/proc/self/statm').read_text().split()[0]
        limit = int(pages) * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

  sys.addaudithook(hook)


def remount(folder: pathlib.Path, options: str) -> None:
  subprocess.run(['mount', '-o', f'remount,{options}', str(folder)], check=True)


def on_a_full_disk(case: Case) -> int:
  """Builds on a disk that is full at any point; data_dir is a small tmpfs."""
  folder = case.fresh('data')
  shutil.rmtree(case.data_dir / 'template', ignore_errors=True)

  def build() -> None:
    try:
      case.build(folder)
    except OSError as e:
      if 'nothing is kept. Make room' not in str(e):
        raise ValueError('it does not say what to do') from e
      raise

  def left() -> list[str]:
    return making.left_behind(folder)

  whole = [DATASET] * bool(case.old)
  return fill(case, build, lambda: labels_in(folder), left, whole)


def converter_on_a_full_disk(case: Case) -> int:
  """The same for the converter."""
  folder = case.data_dir / 'data'

  def convert(*flags: str) -> None:
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
      code = images_to_tfrec.main(
        [
          *('-dir', case.images, '-l', case.labels, '-s', '20'),
          *('-tfdir', str(folder), *flags),
        ]
      )
    if 'nothing is kept. Make room' in said.getvalue():
      raise OSError(errno.ENOSPC, said.getvalue())
    if code:
      raise ValueError(said.getvalue())

  def left() -> list[str]:
    return sorted(path.name for path in folder.iterdir())

  def labels() -> list[int]:
    return labels_of(raw_files.legacy_shards(folder))

  convert('-n', str(len(case.old)))
  return fill(case, lambda: convert('--overwrite'), labels, left, left())


def fill(
  case: Case,
  work: Callable[[], None],
  labels: Callable[[], list[int] | None],
  left: Callable[[], list[str]],
  whole: list[str],
) -> int:
  """Works on ever larger disks; returns how many were too small."""
  disk = os.statvfs(case.data_dir)
  used = (disk.f_blocks - disk.f_bfree) * disk.f_bsize
  storage.free_bytes = lambda _: None  # Else nothing would be begun.
  for failed in range(100):
    remount(case.data_dir, f'size={used + 1 + failed * 16_384}')
    status = in_child(work)
    if labels() != (case.old if status else case.new):
      sys.exit(f'size {failed}: half a dataset')
    if status == 0:
      return failed
    if status != errno.ENOSPC or left() != whole:
      sys.exit(f'size {failed}: ended with {status}, left {left()}')
  sys.exit('never large enough')


def with_small_files(case: Case) -> int:
  """Builds where no file may become larger than that."""
  failed = 0
  for limit in (0, 50, 500, 5_000, 50_000, 500_000, 5_000_000):
    folder = case.fresh(f'bytes_{limit}')

    def build(folder: pathlib.Path = folder, limit: int = limit) -> None:
      resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
      case.build(folder)

    status = in_child(build)
    if status not in (0, errno.EFBIG):
      sys.exit(f'{limit} bytes: ended with {status}')
    failed += status != 0
    case.check(folder)
    shutil.rmtree(folder)
  if status:
    sys.exit('5 MB are too little')
  return failed


def on_a_read_only_disk(case: Case) -> int:
  folder = case.fresh('data')
  remount(case.data_dir, 'ro')
  status = in_child(lambda: case.build(folder))
  found = labels_in(folder)
  remount(case.data_dir, 'rw')
  if status != errno.EROFS or found != case.old:
    sys.exit(f'ended with {status}')
  case.check(folder)
  return 1


FAULTS = {
  name: functools.partial(at_every_step, number)
  for name, number in signal.Signals.__members__.items()
} | {
  'with_few_descriptors': with_few_descriptors,
  'with_little_memory': with_little_memory,
  'with_small_files': with_small_files,
  'on_a_full_disk': on_a_full_disk,
  'converter_on_a_full_disk': converter_on_a_full_disk,
  'on_a_read_only_disk': on_a_read_only_disk,
}


def main() -> None:
  tfds.disable_progress_bar()
  how, mode, data_dir, images, labels = sys.argv[1:]
  case = Case(
    pathlib.Path(data_dir),
    images,
    labels,
    tfds.download.GenerateMode[mode],
  )
  print(f'{FAULTS[how](case)} builds failed')


if __name__ == '__main__':
  main()
