"""Runs one command and measures it: seconds, memory, disk."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping

_HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
  """One run of a command.

  Attributes:
    seconds: What it printed as `seconds: …`, else those of the process.
    process: Seconds from the start of the process to its end.
    peak: Bytes of memory (RSS) of the largest process.
    written: Bytes of the files in its `{out}`, without hard links.
    images: What it printed as `images: …`, if it did: how many it stored.
  """

  seconds: float
  process: float
  peak: int
  written: int
  images: int | None


class RunError(Exception):
  """A command failed; holds the end of what it printed."""


def run(
  command: str,
  paths: Mapping[str, pathlib.Path],
  warm: Iterable[pathlib.Path] = (),
) -> Sample:
  """Runs a command from a quiet disk into an empty folder.

  Args:
    command: For the shell. In braces: names of `paths`; `python`; and `work`
      and `peers`, which are Python on `_work.py` and `_peers.py`.
    paths: `out` is emptied.
    warm: Files, or folders of files, that are read once before.

  Raises:
    RunError: if the exit code is not 0.
  """
  out = paths['out']
  shutil.rmtree(out, ignore_errors=True)
  out.mkdir()
  for path in warm:
    read = f'find -L {shlex.quote(str(path))} -type f -exec cat {{}} +'
    subprocess.run(['sh', '-c', read], check=True, stdout=subprocess.DEVNULL)
  os.sync()
  words = {name: shlex.quote(os.fspath(path)) for name, path in paths.items()}
  words['python'] = shlex.quote(sys.executable)
  for name in ('work', 'peers'):
    script = shlex.quote(str(_HERE / f'_{name}.py'))
    words[name] = f'{words["python"]} {script}'
  # Beam's workers find these modules and the package by it, too.
  places = [os.fspath(_HERE.parent), os.fspath(_HERE)]
  places += filter(None, [os.environ.get('PYTHONPATH')])
  environment = {
    **os.environ,
    'PYTHONPATH': os.pathsep.join(places),
    'TF_CPP_MIN_LOG_LEVEL': '2',
  }
  log_path = out.with_name('log.txt')
  with log_path.open('w') as log:
    start = time.perf_counter()
    process = subprocess.Popen(
      ['sh', '-c', command.format_map(words)],
      env=environment,
      stdout=log,
      stderr=subprocess.STDOUT,
    )
    # The usage covers all descendants that were waited for. A process inherits
    # its parent's peak: so this one imports nothing large.
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
  process.returncode = os.waitstatus_to_exitcode(status)
  text = log_path.read_text(errors='replace')
  if process.returncode:
    raise RunError(f'exit code {process.returncode}\n{text[-2000:]}')
  printed = dict(re.findall(r'^(seconds|images): (\S+)$', text, re.MULTILINE))
  return Sample(
    seconds=float(printed.get('seconds', seconds)),
    process=seconds,
    peak=usage.ru_maxrss * 1024,
    written=size(out),
    images=int(printed['images']) if 'images' in printed else None,
  )


def size(path: pathlib.Path) -> int:
  """Returns the bytes of a file, or of all files in a folder but hard links."""
  if path.is_file():
    return path.stat().st_size
  total = 0
  for folder, _, names in os.walk(path):  # Keeps none of a million names.
    for name in names:
      stat = os.lstat(os.path.join(folder, name))
      total += stat.st_size if stat.st_nlink == 1 else 0
  return total
