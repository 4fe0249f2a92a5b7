"""Several labels an image: from a `.jsonl` file to all that reads records."""

import json
import pathlib
import pickle
import re
import shutil

import making
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import imagenet_val_tfrec
from imagenet_val_tfrec import (
  __main__,
  evaluation,
  images_to_tfrec,
  legacy,
  pipeline,
  recipes,
  verify,
)
from imagenet_val_tfrec.core import errors

LISTS = {
  'a.jpg': ['tree', 'cat'],
  'b.jpg': [],
  'c.jpg': ['dog'],
  'd.jpg': ['cat', 'dog', 'tree'],
}
CLASSES = ['cat', 'dog', 'tree']
NUMBERS = [[CLASSES.index(word) for word in list_] for list_ in LISTS.values()]
SENTENCE = r'several labels an image .*and tfds\.load reads them'


def write(folder: pathlib.Path, lists=LISTS, first: int = 0) -> pathlib.Path:
  """Makes a folder of images and a `metadata.jsonl`; returns it."""
  pictures = dict(zip(lists, making.pictures()[first:], strict=False))
  making.write_folder(folder, pictures)
  lines = [
    json.dumps({'file_name': name, 'label': labels})
    for name, labels in lists.items()
  ]
  (folder / 'metadata.jsonl').write_text('\n'.join(lines))
  return folder


@pytest.fixture(scope='module')
def images(tmp_path_factory) -> pathlib.Path:
  return write(tmp_path_factory.mktemp('images'))


@pytest.fixture(scope='module')
def data_dir(images, tmp_path_factory) -> pathlib.Path:
  """Built by the command, as a user does."""
  folder = tmp_path_factory.mktemp('data')
  config = json.dumps({'name': 'made', 'image_dir': str(images)})
  flags = ['--config', config, '--data_dir', str(folder), '--num_shards', '2']
  assert __main__.main(['build', *flags]) == 0
  return folder


@pytest.fixture(scope='module')
def version(data_dir) -> pathlib.Path:
  return data_dir / 'imagenet_val_tfrec' / 'made' / '1.0.0'


def test_tfds_load(data_dir, version):
  dataset, info = tfds.load(
    'imagenet_val_tfrec/made', split='train', data_dir=data_dir, with_info=True
  )
  assert [e['labels'].numpy().tolist() for e in dataset] == NUMBERS
  assert dataset.element_spec['labels'] == tf.TensorSpec([None], tf.int64)
  assert 'label' not in dataset.element_spec
  assert info.features['labels'].feature.names == CLASSES
  pairs = tfds.load(
    'imagenet_val_tfrec/made',
    split='train',
    data_dir=data_dir,
    as_supervised=True,
  )
  assert [labels.numpy().tolist() for _, labels in pairs] == NUMBERS
  # As the docs say.
  many_hot = pairs.map(lambda _, y: tf.reduce_sum(tf.one_hot(y, 3), 0))
  assert np.stack([*many_hot]).tolist() == [
    [float(i in labels) for i in range(3)] for labels in NUMBERS
  ]


def test_the_features_stand_in_the_same_order(images, tmp_path):
  config = imagenet_val_tfrec.ImagenetValTfrecConfig(
    name='made', image_dir=images, with_names=True
  )
  builder = imagenet_val_tfrec.Builder(data_dir=tmp_path, config=config)
  assert [*builder.info.features] == [
    *('labels', 'height', 'width', 'chans', 'image', 'file_name')
  ]


def test_tfds_itself_would_write_the_same(images, version, tmp_path):
  builder = making.build(tmp_path, image_dir=images)
  (generator,) = builder._split_generators(None).values()
  examples = [example for _, example in generator]
  encode = builder.info.features.encode_example
  assert [[*encode(e)['labels']] for e in examples] == NUMBERS
  assert [*examples[0]] == [*builder.info.features]


@pytest.mark.parametrize(
  'config',
  [
    {'num_classes': 5},
    {'class_names': ['x', 'tree', 'dog', 'cat']},
    {'shuffle': 'train', 'shuffle_seed': 3},
    {'with_names': True},
  ],
  ids=str,
)
def test_options(images, tmp_path, config):
  builder = making.build(tmp_path, image_dir=images, **config)
  found = making.labels_in(builder, 'train')
  if 'class_names' in config:
    assert found == [[1, 3], [], [2], [3, 2, 1]]
  elif 'shuffle' in config:
    assert found != NUMBERS
    assert sorted(found) == sorted(NUMBERS)
  else:
    assert found == NUMBERS
  assert verify.verify(builder.data_dir, decode=True).findings == []


def test_several_splits(images, tmp_path):
  other = write(
    tmp_path / 'other', {'x.jpg': ['dog'], 'y.jpg': ['dog', 'cat']}, 4
  )
  splits = {'train': images, 'test': other}
  builder = making.build(tmp_path, splits=splits)
  assert making.labels_in(builder, 'test') == [[1], [1, 0]]


@pytest.mark.parametrize('lists_first', [True, False])
def test_all_splits_have_lists_or_none(images, tmp_path, lists_first):
  other = tmp_path / 'other'
  for kind in CLASSES:
    making.write_folder(other / kind, {'x.jpg': making.picture()})
  splits = {'train': images, 'test': other}
  if not lists_first:
    splits = dict(reversed(splits.items()))
  with pytest.raises(
    errors.InputError,
    match=r"split 'test': .*other: one label for an image, expected a list of "
    'labels, as in another split',
  ):
    making.build(tmp_path / 'data', splits=splits)
  assert making.left_behind(tmp_path / 'data') == []


def test_a_file_that_was_written_after_the_builder_was_made(tmp_path):
  config = imagenet_val_tfrec.ImagenetValTfrecConfig(
    name='made', num_classes=3, image_dir=tmp_path / 'images'
  )
  builder = imagenet_val_tfrec.Builder(data_dir=tmp_path, config=config)
  write(tmp_path / 'images')
  with pytest.raises(errors.InputError, match=r'when the builder was made'):
    builder.download_and_prepare()


def test_input_that_changed_and_input_that_is_gone(tmp_path):
  images = write(tmp_path / 'images')
  making.build(tmp_path, image_dir=images)
  # The same labels, one after the other.
  write(images, LISTS | {'b.jpg': ['dog'], 'c.jpg': []})
  with pytest.raises(errors.InputError, match='made from other input'):
    making.build(tmp_path, image_dir=images)
  write(images, {name: [*labels, 'x'][0] for name, labels in LISTS.items()})
  with pytest.raises(
    errors.InputError, match=r'asks for .*image, label, width'
  ):
    making.build(tmp_path, image_dir=images)
  shutil.rmtree(images)
  with pytest.warns(UserWarning, match='is used as it is'):
    builder = making.build(tmp_path, image_dir=images)
  assert making.labels_in(builder, 'train') == NUMBERS


def test_lists_of_one_are_not_the_same_as_labels(tmp_path):
  one = write(tmp_path / 'one', {'a.jpg': 0, 'b.jpg': 1})
  lists = write(tmp_path / 'lists', {'a.jpg': [0], 'b.jpg': [1]})
  assert making.labels_in(
    making.build(tmp_path / '1', image_dir=one), 'train'
  ) == [0, 1]
  assert making.labels_in(
    making.build(tmp_path / '2', image_dir=lists), 'train'
  ) == [[0], [1]]


def test_official_images_may_have_other_labels(tmp_path):
  lists = [[985, 3], [], *([i] for i in range(6))]
  names = [line.split()[0] for line in (making.DUMMY / 'val.txt').open()]
  lines = [
    json.dumps({'file_name': name, 'labels': labels})
    for name, labels in zip(names, lists, strict=True)
  ]
  (tmp_path / 'real.jsonl').write_text('\n'.join(lines))
  builder = making.build(
    tmp_path,
    image_dir=making.DUMMY / 'ILSVRC2012_img_val.tar',
    label_file=tmp_path / 'real.jsonl',
  )
  assert making.labels_in(builder) == lists


def test_a_shard_goes_to_other_processes_as_it_is(images):
  config = imagenet_val_tfrec.ImagenetValTfrecConfig(
    name='made', image_dir=images
  )
  examples = config.examples('')['train']
  copy = pickle.loads(pickle.dumps(examples.part(1, 4)))
  assert [*copy.labels.labels] == [(), (1,), (0, 1, 2)]
  assert copy.fingerprint() == examples.part(1, 4).fingerprint()


def test_inspect(images, tmp_path, capsys):
  page = tmp_path / 'page.html'
  assert __main__.main(['inspect', str(images), '--html', str(page)]) == 0
  out = capsys.readouterr().out
  assert '  classes: 3, cat to tree\n' in out
  assert '  images of a class: 2\n' in out
  assert '  labels of an image: 0 to 3\n' in out
  # A picture stands with each of its classes.
  a, b, c = (page.read_text().count(f'{name}.jpg') for name in 'abc')
  assert (a, b) == (2 * c, 0) != (0, 0)


# --- verify ---


def test_verify_compares_the_lists(images, version, tmp_path):
  def findings(lists) -> list[str]:
    other = write(tmp_path, lists) / 'metadata.jsonl'
    found = verify.verify(version, label_file=str(other)).findings
    return [finding.what.replace(str(other), 'FILE') for finding in found]

  assert findings(LISTS) == []
  assert findings(
    LISTS | {'b.jpg': ['dog'], 'd.jpg': ['cat', 'tree', 'dog']}
  ) == [
    "label [], expected [1] as in FILE:2 ('b.jpg')",
    "label [0, 1, 2], expected [0, 2, 1] as in FILE:4 ('d.jpg')",
  ]
  (tmp_path / 'l.txt').write_text('a.jpg 0\n')
  with pytest.raises(
    errors.InputError,
    match=r'l\.txt:1: one label for an image, expected a list of labels, as in',
  ):
    verify.verify(version, label_file=str(tmp_path / 'l.txt'))


@pytest.mark.parametrize(
  ('name', 'old', 'new', 'what'),
  [
    (
      'features.json',
      b'"numClasses": "3"',
      b'"numClasses": "2"',
      'label 2 is |3 names',
    ),
    ('features.json', b'}', b'', r'[^\n]*not [^\n]*JSON[^\n]*'),
    ('labels.labels.txt', b'dog\n', b'', '2 names, expected 3'),
    (
      'features.json',
      b'"labels"',
      b'"label"',
      "no field 'label'|several label",
    ),
  ],
)
def test_verify_finds(version, tmp_path, name, old, new, what):
  folder = tmp_path / 'copy'
  shutil.copytree(version, folder)
  (folder / 'SHA256SUMS').unlink()
  content = (folder / name).read_bytes()
  assert old in content
  (folder / name).write_bytes(content.replace(old, new))
  findings = verify.verify(folder).findings
  assert all(re.search(what, finding.what) for finding in findings), findings
  assert findings


# --- what knows one label an image alone ---


def raw_files(version: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
  folder.mkdir()
  for i, path in enumerate(sorted(version.glob('*.tfrecord-*'))):
    shutil.copy(path, folder / f'data_{i}.tfrecord')
  return folder


def convert(images, version, tmp_path):
  images_to_tfrec.make_tfrec(
    str(images),
    label_file=str(images / 'metadata.jsonl'),
    tfrec_dir=str(tmp_path / 'raw'),
  )


def adopt(images, version, tmp_path):
  raw = raw_files(version, tmp_path / 'raw')
  config = imagenet_val_tfrec.ImagenetValTfrecConfig(name='x', num_classes=3)
  legacy.adopt(raw, tmp_path / 'data', config=config)


def adopt_as_lists(images, version, tmp_path):
  raw = tmp_path / 'raw'
  images_to_tfrec.make_tfrec(
    str(making.DUMMY / 'val_images'),
    label_file=str(making.DUMMY / 'val.txt'),
    tfrec_dir=str(raw),
  )
  config = imagenet_val_tfrec.ImagenetValTfrecConfig(name='x', image_dir=images)
  legacy.adopt(raw, tmp_path / 'data', config=config)


def evaluate(images, version, tmp_path):
  recipe = recipes.keras('MobileNetV2')
  evaluation.evaluate(lambda x: x, version, recipe, split='train')


def preprocess(images, version, tmp_path):
  decoders = {'image': tfds.decode.SkipDecoding()}
  builder = tfds.builder_from_directory(version)
  for fields in builder.as_dataset(split='train', decoders=decoders).take(1):
    pipeline.preprocess(fields)


@pytest.mark.parametrize(
  'use',
  [
    convert,
    adopt,
    adopt_as_lists,
    evaluate,
    preprocess,
    lambda images, version, tmp_path: pipeline.evaluation_dataset(version, 2),
    lambda images, version, tmp_path: pipeline.training_dataset(version, 2),
  ],
)
def test_others_refuse_them_in_a_sentence(images, version, tmp_path, use):
  with pytest.raises(ValueError, match=SENTENCE):
    use(images, version, tmp_path)
  assert making.left_behind(tmp_path) == []


def test_verify_says_it_of_older_files(version, tmp_path):
  findings = verify.verify(raw_files(version, tmp_path / 'raw')).findings
  assert len(findings) == 4
  assert all('and tfds.load reads them' in finding.what for finding in findings)


def test_the_parser_refuses_them(version, tmp_path):
  raw = raw_files(version, tmp_path / 'raw')
  records = tf.data.TFRecordDataset(str(raw / 'data_0.tfrecord'))
  for read in (records.map(legacy.parser), legacy.input_fn(raw, 2, 8, 8)):
    with pytest.raises(
      tf.errors.InvalidArgumentError,
      match=r'or missing \(records of several `labels` are for tfds\.load',
    ):
      next(iter(read))
