"""The report of an evaluation: one HTML file to look at."""

from __future__ import annotations

import base64
import dataclasses
import functools
import os
from collections.abc import Iterator, Sequence
from typing import Any

import jinja2
import numpy as np
import tensorflow as tf

from imagenet_val_tfrec.core import errors, small_files
from imagenet_val_tfrec.evaluation.measures import Evaluation, Interval
from imagenet_val_tfrec.inputs import imagenet
from imagenet_val_tfrec.pipeline import image_ops, read
from imagenet_val_tfrec.records import frames

# Bounds the file: 108 pictures of some 8 kB, as text.
_CONFUSIONS, _EXAMPLES, _MISTAKES = 20, 3, 48
_SIDE = 144  # Pixels of a picture.
_BINS = 10


def write_html(evaluation: Evaluation, path: str | os.PathLike[str]) -> None:
  """Writes the report: one file of a few MB at most, without a network.

  The pictures are read again from `evaluation.source`.

  Raises:
    ValueError: if the source holds other records than were evaluated.
    FileNotFoundError: if the source is not there any more.
  """
  confusions = evaluation.confusions(_CONFUSIONS)
  examples = [_rows_of(evaluation, *pair[:2]) for pair in confusions]
  mistakes = _confident_mistakes(evaluation)
  rows = {row for some in [*examples, mistakes] for row in some}
  pictures = dict(_read_pictures(evaluation, sorted(rows)))
  shown = {row: _describe(evaluation, row, pictures[row]) for row in rows}
  environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(os.path.dirname(__file__)),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  html = environment.get_template('report.html').render(
    evaluation=evaluation,
    measures=list(_measures(evaluation)),
    is_whole=evaluation.num_examples == imagenet.NUM_IMAGES,
    whole=imagenet.NUM_IMAGES,
    confusions=[
      {
        'label': _name(evaluation, label),
        'best': _name(evaluation, best),
        'count': count,
        'pictures': [shown[row] for row in some],
      }
      for (label, best, count), some in zip(confusions, examples, strict=True)
    ],
    mistakes=[shown[row] for row in mistakes],
    num_mistakes=int((~evaluation.correct).sum()),
    classes=_classes(evaluation),
    num_classes=len(evaluation.class_names),
    bins=_reliability(evaluation),
    side=_SIDE,
    facts=_facts(evaluation),
  )
  small_files.write_text(os.fspath(path), html)


def _name(evaluation: Evaluation, number: int) -> str:
  """Returns the name that people know a class by, if it is ImageNet's."""
  name = evaluation.class_name(number)
  return _known_names().get(name, name)


@functools.cache
def _known_names() -> dict[str, str]:
  return {
    wnid: imagenet.class_name(label)
    for label, wnid in enumerate(imagenet.wnids())
  }


def _measures(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
  recipe = evaluation.recipe
  found: Sequence[tuple[str, float, Interval, float | None, float | None]] = (
    (
      'Top-1',
      evaluation.top1,
      evaluation.top1_interval,
      recipe.published_top1,
      evaluation.top1_difference,
    ),
    (
      'Top-5',
      evaluation.top5,
      evaluation.top5_interval,
      recipe.published_top5,
      evaluation.top5_difference,
    ),
  )
  for name, value, interval, published, difference in found:
    ends = [*interval, value if published is None else published]
    reach = max(max(ends) - min(ends), 0.01)
    start = min(ends) - reach / 4
    yield {
      'name': name,
      'value': value,
      'interval': interval,
      'published': published,
      'difference': difference,
      # Along a line from 0 to 100.
      'places': [
        None if part is None else 100 * (part - start) / (1.5 * reach)
        for part in (*interval, value, published)
      ],
    }


def _rows_of(evaluation: Evaluation, label: int, best: int) -> list[int]:
  """Returns the images of a class taken for another, the surest first."""
  is_pair = (evaluation.labels == label) & (evaluation.classes[:, 0] == best)
  return _surest(evaluation, is_pair, _EXAMPLES)


def _confident_mistakes(evaluation: Evaluation) -> list[int]:
  return _surest(evaluation, ~evaluation.correct, _MISTAKES)


def _surest(evaluation: Evaluation, mask: np.ndarray, most: int) -> list[int]:
  rows = np.flatnonzero(mask)
  order = np.argsort(-evaluation.confidences[rows, 0], kind='stable')
  found: list[int] = rows[order[:most]].tolist()
  return found


def _describe(evaluation: Evaluation, row: int, picture: str) -> dict[str, Any]:
  index = int(evaluation.indices[row])
  names = evaluation.names
  return {
    'picture': picture,
    'name': names[row] if names else f'image {index:,}',
    'label': _name(evaluation, int(evaluation.labels[row])),
    'label_confidence': float(evaluation.label_confidences[row]),
    'best': _name(evaluation, int(evaluation.classes[row, 0])),
    'confidence': float(evaluation.confidences[row, 0]),
  }


def _classes(evaluation: Evaluation) -> list[dict[str, Any]]:
  """Returns the classes that have images, the worst first."""
  taken: dict[int, tuple[int, int]] = {}
  for label, best, count in evaluation.confusions(evaluation.num_examples):
    taken.setdefault(label, (best, count))
  counts, accuracies = evaluation.class_counts, evaluation.class_accuracies
  order = np.argsort(accuracies, kind='stable')  # NaN is at the end.
  return [
    {
      'name': _name(evaluation, number),
      'id': evaluation.class_names[number],
      'count': int(counts[number]),
      'accuracy': float(accuracies[number]),
      'taken': _name(evaluation, taken[number][0]) if number in taken else '',
      'times': taken.get(number, (0, 0))[1],
    }
    for number in map(int, order)
    if counts[number]
  ]


def _reliability(evaluation: Evaluation) -> dict[str, Any]:
  """Compares confidence with accuracy, in bins of equal width.

  `error` is the expected calibration error (Guo et al. 2017,
  arXiv:1706.04599).
  """
  confidences = evaluation.confidences[:, 0].astype(np.float64)
  places = np.minimum((confidences * _BINS).astype(int), _BINS - 1)
  rows, error = [], 0.0
  for place in range(_BINS):
    inside = places == place
    if count := int(inside.sum()):
      confidence = float(confidences[inside].mean())
      accuracy = float(evaluation.correct[inside].mean())
      part = count / evaluation.num_examples
      error += part * abs(accuracy - confidence)
      rows.append(
        {
          'start': place / _BINS,
          'end': (place + 1) / _BINS,
          'count': count,
          'part': part,
          'confidence': confidence,
          'accuracy': accuracy,
        }
      )
  most = max(row['part'] for row in rows)
  return {'rows': rows, 'error': error, 'width': 1 / _BINS, 'most': most}


def _facts(evaluation: Evaluation) -> dict[str, dict[str, str]]:
  """Returns what was measured, how and with what: names and values."""
  recipe = dataclasses.asdict(evaluation.recipe)
  images = f'{evaluation.num_examples:,} of {evaluation.num_total:,}'
  rate = evaluation.num_examples / evaluation.seconds
  return {
    'Dataset': {
      'dataset': evaluation.dataset or 'raw TFRecord files',
      'split': evaluation.split,
      'images': images,
      'fingerprint': evaluation.fingerprint or 'unknown',
      'folder': evaluation.source,
      'time': f'{evaluation.seconds:,.0f} s, {rate:,.0f} images/s',
    },
    'Recipe': {
      name: str(value)
      for name, value in recipe.items()
      if value not in (None, '')
    },
    'Versions': dict(evaluation.versions),
  }


def _read_pictures(
  evaluation: Evaluation, rows: Sequence[int]
) -> Iterator[tuple[int, str]]:
  """Yields small pictures of these rows (sorted), as the text of a URL.

  Only the headers of the other records are read.
  """
  files = read.find_files(evaluation.source, evaluation.split)
  wanted = iter(rows)
  row, start = next(wanted, None), 0
  for path, skip, take in zip(*files[:3], strict=True):
    if row is None:
      return
    if 0 <= take <= row - start:
      start += take
      continue
    number = start - skip - 1
    with frames.open_records(path) as (reader, found):
      for number, frame in enumerate(found, start - skip):
        if take >= 0 and number >= start + take:
          break
        if number == row:
          record = frame.payload(reader, reader.size)
          yield row, _picture(evaluation, row, record)
          row = next(wanted, None)
          if row is None:
            return
    start = number + 1 if take < 0 else start + take
  if row is not None:
    raise errors.InputError(
      f'{evaluation.source}: {start:,} records, expected the '
      f'{evaluation.num_examples:,} that were evaluated'
    )


def _picture(evaluation: Evaluation, row: int, record: bytes) -> str:
  """Returns the square in the middle of an image, as the text of a URL."""
  fields = image_ops.parse_record(record)
  if int(fields['label']) != evaluation.labels[row]:
    raise errors.InputError(
      f'{evaluation.source}: record {row:,} has label {int(fields["label"])}, '
      f'but was evaluated with {evaluation.labels[row]}; expected the dataset '
      'that was evaluated'
    )
  return as_url(image_ops.decode(fields), _SIDE)


def as_url(image: tf.Tensor, size: int) -> str:
  """Returns the square in the middle of an image, uint8 [h, w, 3], as text."""
  side = min(image.shape[:2])
  top, left = ((length - side) // 2 for length in image.shape[:2])
  image = image[top : top + side, left : left + side]
  image = tf.image.resize(image, [size, size], antialias=True)
  jpeg = tf.io.encode_jpeg(
    tf.saturate_cast(tf.round(image), tf.uint8), quality=80, optimize_size=True
  )
  return f'data:image/jpeg;base64,{base64.b64encode(jpeg.numpy()).decode()}'
