"""What the benchmarks share: one table, printed, and the same as JSON."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Mapping, Sequence

Value = str | int | float | None

_PACKAGES = ('tensorflow', 'tensorflow-datasets', 'apache-beam', 'simplejpeg')


def machine() -> dict[str, Value]:
  """Returns what a timing depends on: cores, Python, versions."""
  facts: dict[str, Value] = {
    'cores': len(os.sched_getaffinity(0)),
    'python': platform.python_version(),
  }
  for package in _PACKAGES:
    try:
      facts[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      facts[package] = None
  return facts


def report(
  facts: Mapping[str, Value],
  rows: Sequence[Mapping[str, Value]],
  json_file: pathlib.Path | None = None,
) -> None:
  """Prints `facts` and a Markdown table of `rows`; stores both as JSON.

  Args:
    facts: What was measured, where; printed in one line.
    rows: All with the same keys, which head the columns.
    json_file: Where to store `{'facts': …, 'rows': […]}`, if anywhere.
  """
  print(', '.join(f'{key} {_text(value)}' for key, value in facts.items()))
  heads = list(rows[0])
  cells = [heads, *([_text(row[head]) for head in heads] for row in rows)]
  widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
  lines = [
    f'| {line[0]:<{widths[0]}} | '
    + ' | '.join(
      f'{cell:>{width}}'
      for cell, width in zip(line[1:], widths[1:], strict=True)
    )
    + ' |'
    for line in cells
  ]
  rule = '|'.join(
    ['-' * (widths[0] + 2)] + ['-' * (w + 1) + ':' for w in widths[1:]]
  )
  print('\n'.join([lines[0], f'|{rule}|', *lines[1:]]))
  if json_file is not None:
    table = {'facts': dict(facts), 'rows': [dict(row) for row in rows]}
    json_file.write_text(json.dumps(table, indent=2) + '\n')


def _text(value: Value) -> str:
  """Returns a number with three or four digits that count, or the text."""
  if value is None:
    return '–'
  if isinstance(value, float):
    size = abs(value)
    digits = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f'{value:,.{digits}f}'
  return f'{value:,}' if isinstance(value, int) else value
