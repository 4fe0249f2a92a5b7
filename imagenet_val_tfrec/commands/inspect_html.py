"""The page of `imagenet_val_tfrec inspect`: pictures of each class."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jinja2
import tensorflow as tf

from imagenet_val_tfrec.core import small_files
from imagenet_val_tfrec.evaluation import report
from imagenet_val_tfrec.inputs import join, sources
from imagenet_val_tfrec.records import record as record_lib

# Bounds the page: each picture has some 5 kB, as text.
_MOST_PICTURES, _MOST_OF_A_CLASS = 1000, 6
_SIDE = 96  # Pixels of a picture.


def write(
  path: str,
  examples: Mapping[str, join.Examples],
  name: Callable[[int], str],
) -> None:
  """Writes one HTML file of some MB, without a network.

  Args:
    path: Of the file.
    examples: Of each split. Pictures are those of the first one.
    name: Returns what a class is called.
  """
  first, *_ = examples.values()
  rows: dict[int, list[int]] = {}
  for row, labels in enumerate(first.labels.labels):
    for label in record_lib.each(labels):
      rows.setdefault(label, []).append(row)
  most = max(1, min(_MOST_PICTURES // len(rows), _MOST_OF_A_CLASS))
  classes: list[dict[str, Any]] = [
    {'name': name(label), 'count': len(rows[label]), 'rows': rows[label][:most]}
    for label in sorted(rows)
  ]
  shown = classes[: _MOST_PICTURES // most]
  with first.source.open() as reader:
    for of_class in shown:
      of_class['pictures'] = list(_pictures(reader, first, of_class['rows']))
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(os.path.dirname(__file__)),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  html = environment.get_template('inspect.html').render(
    source=first.source.path,
    splits={split: len(part) for split, part in examples.items()},
    classes=shown,
    num_classes=len(classes),
    side=_SIDE,
  )
  small_files.write_text(path, html)


def _pictures(
  reader: sources.Reader, examples: join.Examples, rows: Sequence[int]
) -> Iterator[dict[str, Any]]:
  """Yields what is shown of images; of a broken one no picture."""
  for row in rows:
    entry = examples.entry(row)
    url = ''
    with contextlib.suppress(sources.SourceError, tf.errors.OpError):
      image = tf.io.decode_image(reader.read(entry), 3, expand_animations=False)
      url = report.as_url(image, _SIDE)
    yield {'name': entry.path, 'url': url}
