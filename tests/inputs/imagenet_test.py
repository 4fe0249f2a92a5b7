"""The true labels, and the causes of wrong ones, by name."""

import hashlib
import io
import random
from collections.abc import Sequence

import pytest

from imagenet_val_tfrec.inputs import imagenet
from imagenet_val_tfrec.inputs import labels as labels_lib

NAMES = [imagenet.official_name(i + 1) for i in range(50_000)]
TRUE = list(imagenet.true_labels())


def label_file(
  values: Sequence[int], names: Sequence[str] = NAMES, cut: int = 0
) -> labels_lib.Labels:
  """Reads a label file of these, short of `cut` bytes at its end."""
  lines = [f'{n} {v}\n' for n, v in zip(names, values, strict=False)]
  content = ''.join(lines).encode()
  return labels_lib.parse_labels(
    io.BytesIO(content[: len(content) - cut]), path='val.txt'
  )


def message_for(found: labels_lib.Labels) -> str:
  with pytest.raises(labels_lib.LabelError) as e:
    imagenet.check_labels(found)
  return str(e.value)


def test_the_true_labels_are_caffes():
  lines = ''.join(f'{n} {v}\n' for n, v in zip(NAMES, TRUE, strict=True))
  assert hashlib.sha256(lines.encode()).hexdigest() == (
    '4138c0cd92d2dffea9353a9339c9f352361b7c6c267d2ff989b366f154188257'
  )
  found = imagenet.true_label_file()
  assert list(found.names) == NAMES
  assert list(found.labels) == TRUE
  assert found.sha256 == hashlib.sha256(lines.encode()).hexdigest()


def test_wnids():
  assert len(imagenet.wnids()) == 1000
  assert imagenet.wnids()[65] == 'n01751748'
  assert list(imagenet.wnids()) == sorted(imagenet.wnids())


def test_class_names():
  names = [imagenet.class_name(label) for label in range(1000)]
  assert len({name.lower() for name in names}) == 1000
  assert all(name == name.strip() and 2 <= len(name) <= 30 for name in names)
  for wnid, name in {
    'n01440764': 'tench',
    'n02012849': 'crane (bird)',
    'n02113186': 'Cardigan Welsh corgi',
    'n02963159': 'cardigan',
    'n03126707': 'crane (machine)',
    'n11939491': 'daisy',
    'n15075141': 'toilet tissue',
  }.items():
    assert names[imagenet.wnids().index(wnid)] == name
  for label in (-1, 1000):
    with pytest.raises(ValueError, match=f'{label}, expected 0 to 999'):
      imagenet.class_name(label)


@pytest.mark.parametrize(
  ('name', 'official'),
  [
    ('ILSVRC2012_val_00000001.JPEG', True),
    ('val/n01751748/ILSVRC2012_val_00000001.JPEG', True),
    ('ILSVRC2012_val_00000001.jpg', False),
    ('xILSVRC2012_val_00000001.JPEG', False),
    ('ILSVRC2012_val_0000000١.JPEG', False),
    ('ILSVRC2012_test_00000001.JPEG', False),
  ],
)
def test_official_names(name, official):
  assert imagenet.is_official(name) == official


def shuffled(seed: int = 0) -> list[int]:
  order = list(range(50_000))
  random.Random(seed).shuffle(order)
  return order


@pytest.mark.parametrize(
  'found',
  [
    pytest.param(label_file(TRUE), id='all'),
    pytest.param(label_file(TRUE[:7]), id='the first few'),
    pytest.param(label_file(TRUE, cut=1), id='no final newline'),
    pytest.param(
      label_file([TRUE[i] for i in shuffled()], [NAMES[i] for i in shuffled()]),
      id='in another order',
    ),
    pytest.param(label_file([5, 6], ['a.jpg', 'b.jpg']), id='other names'),
    pytest.param(
      label_file([5], ['ILSVRC2012_val_00050001.JPEG']), id='beyond the last'
    ),
  ],
)
def test_right_labels_pass(found):
  imagenet.check_labels(found)


def by_class(values: Sequence[int], classes: Sequence[int]) -> list[int]:
  return [classes[value] for value in values]


# As the devkit's: 1..1000, in an order that is not that of the WordNet ids.
DEVKIT = random.Random(1).sample(range(1, 1001), 1000)

ONE_BASED = 'Cause: the labels are 1..1000, as for models with a background'
RENUMBERED = 'Cause: the classes are numbered in another order, as ILSVRC2012_I'
CUT = 'Cause: the file is cut within its last number.'


@pytest.mark.parametrize(
  ('found', 'cause'),
  [
    pytest.param(label_file([t + 1 for t in TRUE]), ONE_BASED, id='1-based'),
    pytest.param(
      label_file([t + 1 for t in TRUE[:10]]), ONE_BASED, id='1-based, few'
    ),
    pytest.param(label_file(by_class(TRUE, DEVKIT)), RENUMBERED, id='devkit'),
    pytest.param(
      label_file(by_class(TRUE[:5000], DEVKIT)), RENUMBERED, id='devkit, 5000'
    ),
    pytest.param(
      label_file(
        [DEVKIT[TRUE[i]] for i in shuffled()], [NAMES[i] for i in shuffled()]
      ),
      RENUMBERED,
      id='devkit, in another order',
    ),
    pytest.param(
      label_file(TRUE[1:], NAMES),
      'Cause: from val.txt:1 on, each label stands 1 line(s) too early.',
      id='first label lost',
    ),
    pytest.param(
      label_file([0, *TRUE], NAMES),
      'Cause: from val.txt:1 on, each label stands 1 line(s) too late.',
      id='a label too many',
    ),
    pytest.param(
      label_file(TRUE[-2:] + TRUE[:-2]),
      'Cause: from val.txt:1 on, each label stands 2 line(s) too late.',
      id='rotated by two',
    ),
    pytest.param(
      label_file(TRUE[:20_000] + TRUE[20_001:]),
      'Cause: from val.txt:20001 on, each label stands 1 line(s) too early.',
      id='one lost in the middle',
    ),
    pytest.param(
      label_file(sorted(TRUE)),
      'Cause: the labels are sorted, without their names.',
      id='sorted labels',
    ),
    pytest.param(
      label_file([TRUE[i] for i in shuffled()]),
      'Cause: names and labels are in different orders, as if one were sorted.',
      id='names sorted, labels not',
    ),
    pytest.param(label_file(TRUE[:1], cut=2), CUT, id='65 cut to 6'),
    pytest.param(label_file(TRUE[:2], cut=3), CUT, id='970 cut to 9'),
    pytest.param(label_file(TRUE, cut=2), CUT, id='all, cut'),
    pytest.param(
      label_file([DEVKIT[t] for t in TRUE[:100]]), None, id='devkit, too few'
    ),
    pytest.param(label_file([0] * 50_000), None, id='no labels at all'),
    pytest.param(
      label_file([*TRUE[:9], 0, *TRUE[10:]]), None, id='one typing error'
    ),
    pytest.param(label_file([1, 2]), None, id='two'),
  ],
)
def test_causes(found, cause):
  lines = message_for(found).splitlines()
  assert lines[0].startswith('val.txt: ')
  assert lines[0].endswith(' labels of official names are not the true ones:')
  if cause is None:
    assert not [line for line in lines if line.startswith('Cause')]
  else:
    assert lines[-2].startswith(cause)


def test_the_message():
  found = label_file([t + 1 for t in TRUE[:7]])
  assert message_for(found).splitlines() == [
    'val.txt: 7 of 7 labels of official names are not the true ones:',
    *(
      f"  val.txt:{i}: '{NAMES[i - 1]}' has label {wrong}, the true one "
      f'is {true}'
      for i, wrong, true in [
        (1, '66 (horned viper)', '65 (sea snake)'),
        (2, '971 (bubble)', '970 (alp)'),
        (3, '231 (collie)', '230 (Shetland sheepdog)'),
        (4, '810 (space bar)', '809 (soup bowl)'),
        (5, '517 (crane (machine))', '516 (cradle)'),
      ]
    ),
    '  … and 2 more',
    'Cause: the labels are 1..1000, as for models with a background class 0; '
    'subtract 1 from each.',
    'Use the true labels, or say check_labels=False in the config if you mean '
    'these.',
  ]
