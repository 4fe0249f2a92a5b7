"""Scores of functions whose answers are known: every number by hand.

Of `measures`, `models` and `naming`, too.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import math

import making
import numpy as np
import pytest

from imagenet_val_tfrec import evaluation, images_to_tfrec
from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.evaluation import measures
from imagenet_val_tfrec.pipeline.recipes import Recipe

# Of dummy_data, in the order of its val.txt.
LABELS = [985, 417, 970, 978, 971, 599, 920, 879]
NUMBERS = [36416, 18230, 2, 49343, 24110, 12310, 31292, 8575]
LABEL_FILE = making.DUMMY / 'val.txt'
# The best class of each: three are right.
BEST = [985, 417, 970, 3, 3, 985, 978, 985]
RECIPE = Recipe(
  image_size=16, resize_size=16, published_top1=0.5, published_top5=0.8
)
KNOWN = {'names': LABEL_FILE}


class Answers:
  """Gives the scores of one row after another, and padding 0."""

  def __init__(self, scores):
    self.scores = np.asarray(scores, np.float32)
    self.shapes = []

  def __call__(self, images):
    images /= 255  # As functions do.
    start = sum(shape[0] for shape in self.shapes)
    self.shapes.append(images.shape)
    found = np.zeros((len(images), self.scores.shape[1]), np.float32)
    part = self.scores[start : start + len(images)]
    found[: len(part)] = part
    return found


def logits(best=BEST, number=1000, second=LABELS[3:5]):
  """Returns scores: 2 of the best class, 1 of labels 3 and 4, else 0."""
  scores = np.zeros((len(best), number), np.float32)
  for i, label in enumerate(second, 3):
    scores[i, label] = 1
  scores[np.arange(len(best)), best] = 2
  return scores


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
  return made(tmp_path_factory.mktemp('data'))


def made(folder, **config):
  images = making.DUMMY / 'val_images'
  config = {'label_file': LABEL_FILE, 'num_classes': 1000, **config}
  return making.build(folder, image_dir=images, **config)


def made_of(folder, classes, **config):
  """Builds those classes, one image each in turn, as images of other names."""
  (folder / 'labels.txt').write_text(
    ''.join(f'{i}.jpg {i % len(classes)}\n' for i in range(6))
  )
  images = {f'{i}.jpg': making.picture() for i in range(6)}
  return making.build(
    folder / 'data',
    image_dir=making.write_folder(folder / 'images', images),
    label_file=folder / 'labels.txt',
    class_names=classes,
    **config,
  )


def test_what_is_measured(dataset):
  predict = Answers(logits())
  found = evaluation.evaluate(predict, dataset, RECIPE, batch_size=3)
  assert predict.shapes == [(3, 16, 16, 3)] * 3
  assert found.num_examples == found.num_total == 8
  assert found.labels.tolist() == LABELS
  assert found.classes[:, 0].tolist() == BEST
  # Of equal scores, the smaller class is the better.
  assert found.classes[3].tolist() == [3, 978, 0, 1, 2]
  assert found.scores[3].tolist() == [2, 1, 0, 0, 0]
  assert (found.top1, found.top5) == (3 / 8, 5 / 8)
  assert found.top1_interval == pytest.approx((0.136844, 0.694258), abs=1e-6)
  assert found.top5_interval == pytest.approx((0.305742, 0.863156), abs=1e-6)
  # (0.375 - 0.5) / sqrt(0.5 * 0.5 / 8), (0.625 - 0.8) / sqrt(0.8 * 0.2 / 8).
  assert found.top1_difference == pytest.approx(-0.7071068)
  assert found.top5_difference == pytest.approx(-1.2374369)
  total = math.e**2 + math.e + 998
  confidences = [math.e**2 / total, math.e / total, *[1 / total] * 3]
  assert found.confidences[3] == pytest.approx(confidences)
  assert found.label_confidences[3] == pytest.approx(math.e / total)
  assert found.class_counts.sum() == 8
  assert found.class_accuracies[[985, 978]].tolist() == [1, 0]
  assert np.isnan(found.class_accuracies[0])
  assert found.confusions(2) == [(599, 985, 1), (879, 985, 1)]
  assert found.names is None
  assert found.real_top1 is None
  assert found.fingerprint == dataset.info.metadata['fingerprint']
  found = dataclasses.replace(found, seconds=2, model='M')
  assert str(found) == (
    'M: top-1 37.5 % ± 27.9 (published 50.0), top-5 62.5 % ± 27.9 '
    '(published 80.0), 8 images, not the 50,000 of the published number, '
    '4 images/s'
  )


@pytest.mark.parametrize(
  ('part', 'number', 'interval'),
  [
    # By scipy.stats.binomtest(…).proportion_ci(method='wilson').
    (0, 8, (0.0, 0.3244076)),
    (1, 8, (0.6755924, 1.0)),
    (0.718, 50_000, (0.7140393, 0.7219273)),
  ],
)
def test_intervals(part, number, interval):
  assert measures.wilson(part, number) == pytest.approx(interval, abs=1e-6)


def test_probabilities_are_kept_and_scores_are_not(dataset):
  probabilities = np.full((8, 1000), 0.5 / 999)
  probabilities[np.arange(8), BEST] = 0.5
  for scores, expected in (
    (probabilities, 0.5),
    (np.log(probabilities), 0.5),
    (probabilities * 2, math.e / (math.e + 999 * math.exp(1 / 999))),
  ):
    found = evaluation.evaluate(Answers(scores), dataset, RECIPE)
    assert found.confidences[:, 0] == pytest.approx(expected, abs=1e-6)
    assert found.label_confidences[:3] == pytest.approx(expected, abs=1e-6)


def test_part_of_a_split_knows_its_place(dataset):
  predict = Answers(logits()[2:7])
  found = evaluation.evaluate(
    predict, dataset, RECIPE, split='validation[2:7]', **KNOWN
  )
  assert found.indices.tolist() == [2, 3, 4, 5, 6]
  assert found.names[0] == 'ILSVRC2012_val_00000002.JPEG'
  assert (found.num_examples, found.num_total) == (5, 8)
  assert found.top1 == 1 / 5
  assert '5 of 8 images' in str(found)


def test_rows_in_csv(dataset, tmp_path):
  found = evaluation.evaluate(Answers(logits()), dataset, RECIPE, **KNOWN)
  found.to_csv(tmp_path / 'rows.csv')
  with open(tmp_path / 'rows.csv', encoding='utf-8', newline='') as file:
    rows = list(csv.DictReader(file))
  assert [int(row['index']) for row in rows] == list(range(8))
  assert [int(row['label']) for row in rows] == LABELS
  assert [int(row['class_1']) for row in rows] == BEST
  row = rows[0]
  assert row['name'] == 'ILSVRC2012_val_00036416.JPEG'
  assert row['label_name'] == row['name_1'] == 'n11939491'
  assert (float(row['score_1']), float(row['score_5'])) == (2, 0)
  assert row['confidence_1'] == row['label_confidence']


def test_real_labels(dataset, tmp_path):
  """One image has none, one has several, one is another than the label."""
  real = [[] for _ in range(50_000)]
  for number, classes in zip(
    NUMBERS,
    [[985], [], [970, 5], [978, 3], [971], [985], [920], [879]],
    strict=True,
  ):
    real[number - 1] = classes
  path = tmp_path / 'real.json'
  path.write_text(json.dumps(real))
  found = evaluation.evaluate(
    Answers(logits()), dataset, RECIPE, real_labels=path, **KNOWN
  )
  assert (found.real_top1, found.num_real) == (4 / 7, 7)
  assert 'ReaL 57.1 % of 7' in str(found)
  path.write_text('[[1]]')
  with pytest.raises(errors.FileError, match='labels of 1 images'):
    evaluation.evaluate(
      Answers(logits()), dataset, RECIPE, real_labels=path, **KNOWN
    )


def test_names_are_known_where_the_labels_are_the_true_ones(tmp_path):
  """As if the first eight images were there, with the labels that they have."""
  from imagenet_val_tfrec.inputs import imagenet

  true = imagenet.true_label_file()
  images = {name: making.picture() for name in true.names[:8]}
  label_file = tmp_path / 'val.txt'
  label_file.write_text(
    ''.join(
      f'{name} {label}\n'
      for name, label in zip(true.names, true.labels, strict=True)
    )
  )
  builder = making.build(
    tmp_path / 'data',
    image_dir=making.write_folder(tmp_path / 'images', images),
    label_file=label_file,
    num_images=8,
    num_classes=1000,
  )
  best = true.labels[:8].tolist()
  found = evaluation.evaluate(Answers(logits(best)), builder, RECIPE)
  assert found.names == list(true.names[:8])
  assert found.top1 == 1


def test_background_class(dataset):
  recipe = dataclasses.replace(RECIPE, label_offset=1, num_classes=1001)
  best = [label + 1 for label in BEST]
  best[0] = 0
  found = evaluation.evaluate(
    Answers(logits(best, 1001, [979, 972])), dataset, recipe
  )
  assert found.labels.tolist() == LABELS
  assert found.classes[:, 0].tolist() == [-1, *BEST[1:]]
  assert found.class_name(-1) == 'background'
  assert (found.top1, found.top5) == (2 / 8, 4 / 8)


def test_some_of_imagenets_classes(tmp_path):
  """Only the scores of the classes that the dataset has count."""
  classes = ['n02006656', 'n01440764', 'n15075141']  # 129, 0, 999.
  builder = made_of(tmp_path, classes)
  scores = np.zeros((6, 1000))
  scores[:, 5] = 9  # The best of all is no class of the dataset.
  scores[[0, 1, 2], [129, 0, 0]] = 2
  found = evaluation.evaluate(Answers(scores), builder, RECIPE)
  assert found.labels.tolist() == [0, 1, 2, 0, 1, 2]
  assert found.classes[:3].tolist() == [[0, 1, 2], [1, 0, 2], [1, 0, 2]]
  assert found.classes[3].tolist() == [0, 1, 2]
  assert (found.top1, found.top5) == (3 / 6, 1)
  assert found.class_name(2) == 'n15075141'
  both = math.e**2 + 2
  assert found.confidences[0] == pytest.approx(
    [math.e**2 / both, *[1 / both] * 2]
  )


def test_numbered_classes_are_imagenets(tmp_path):
  """As ImageNetV2's folders: 0, 1, 2 …"""
  builder = made_of(tmp_path, ['0', '1', '2'])
  found = evaluation.evaluate(
    Answers(logits([0, 1, 7, 7, 7, 7])), builder, RECIPE
  )
  assert found.top1 == 2 / 6
  assert found.class_name(7) == 'n01514668'


def test_models_own_classes(tmp_path):
  builder = made_of(tmp_path, ['rose', 'tulip'])
  recipe = dataclasses.replace(RECIPE, num_classes=2)
  found = evaluation.evaluate(
    Answers(logits([0, 1, 0, 0, 0, 0], 2, [])), builder, recipe
  )
  assert found.top1 == 4 / 6
  assert found.classes.shape == (6, 2)
  assert found.class_name(1) == 'tulip'
  with pytest.raises(
    errors.InputError, match='has 2 classes, the recipe 1,000'
  ):
    evaluation.evaluate(Answers(logits()), builder, RECIPE)


def test_raw_files(tmp_path):
  images_to_tfrec.make_tfrec(
    image_dir=str(making.DUMMY / 'val_images'),
    label_file=str(LABEL_FILE),
    tfrec_dir=str(tmp_path),
    img_shard=3,
  )
  found = evaluation.evaluate(Answers(logits()), tmp_path, RECIPE, **KNOWN)
  assert found.top1 == 3 / 8
  assert found.num_total == 8
  assert found.names[0] == 'ILSVRC2012_val_00036416.JPEG'
  recipe = dataclasses.replace(RECIPE, num_classes=900)
  with pytest.raises(errors.InputError, match='example 0 has label 985'):
    evaluation.evaluate(Answers(np.zeros((8, 900))), tmp_path, recipe)


def test_a_keras_model(dataset):
  import keras

  inputs = keras.Input((16, 16, 3))
  outputs = keras.layers.GlobalAveragePooling2D()(inputs)
  outputs = keras.layers.Dense(1000)(outputs)
  model = keras.Model(inputs, outputs, name='tiny')
  kernel = np.zeros((3, 1000), np.float32)
  bias = np.zeros(1000, np.float32)
  bias[985] = 1
  model.set_weights([kernel, bias])
  found = evaluation.evaluate(model, dataset, RECIPE, batch_size=5)
  assert found.model == 'tiny'
  assert found.top1 == 1 / 8
  assert {'keras', 'tensorflow', 'python'} <= set(found.versions)


def refused(dataset, message, predict=None, recipe=RECIPE, **options):
  with pytest.raises(errors.InputError, match=message):
    evaluation.evaluate(
      predict or Answers(logits()), dataset, recipe, **options
    )


@pytest.mark.parametrize(
  ('predict', 'message'),
  [
    (lambda images: np.zeros(len(images)), r'shape \(64,\), expected \(64, 1'),
    (lambda images: np.zeros((len(images), 10)), r'shape \(64, 10\)'),
    (lambda images: np.full((len(images), 1000), np.nan), 'no numbers'),
    (lambda images: images @ images[0], r'fails on images of shape \(64, 16'),
  ],
)
def test_predict_is_refused(dataset, predict, message):
  refused(dataset, message, predict)


def test_names_that_stand_in_the_dataset(tmp_path):
  dataset = made(tmp_path, with_names=True)
  found = evaluation.evaluate(
    Answers(logits(BEST[2:])), dataset, RECIPE, split='validation[2:]'
  )
  expected = [line.split()[0] for line in LABEL_FILE.read_text().splitlines()]
  assert found.names == expected[2:]


def test_names_are_refused(dataset, tmp_path):
  refused(dataset, '7 names, expected one for each of 8', names=['a.jpg'] * 7)
  real = tmp_path / 'real.json'
  real.write_text('[]')
  refused(dataset, 'say names', real_labels=real)
  lines = LABEL_FILE.read_text().splitlines()
  other = tmp_path / 'other.txt'
  other.write_text('\n'.join([lines[1], lines[0], *lines[2:]]))
  refused(dataset, 'its labels are not those of the dataset', names=other)
