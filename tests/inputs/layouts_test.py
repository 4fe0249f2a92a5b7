"""Splits and classes by the names of folders: what is read, what is refused.

The trees are those that `tfds.ImageFolder`, torchvision's `ImageFolder` and
Hugging Face's `imagefolder` are tested with, and what people have.
"""

import json
import tarfile

import making
import pytest

import imagenet_val_tfrec
from imagenet_val_tfrec import __main__
from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.inputs import imagenet, layouts

CLASSES = ('ash', 'rose')
OFFICIAL = [imagenet.official_name(number) for number in (1, 2)]
WNID = imagenet.wnids()


def make(root, files):
  for name in files:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name.endswith(('.csv', '.jsonl')):
      path.write_text(files[name])
    elif name.endswith('/'):
      path.mkdir()
    else:
      path.write_bytes(making.picture())
  return root


# Files, and of each split the names and labels; then the names of classes.
LAYOUTS = {
  'classes': (
    ['rose/b.jpg', 'rose/a.jpg', 'ash/c.jpeg'],
    {'train': [('ash/c.jpeg', 0), ('rose/a.jpg', 1), ('rose/b.jpg', 1)]},
    CLASSES,
  ),
  'hidden files, other files, folders in classes': (
    [
      *('rose/z.jpg', 'rose/in/a.jpg', 'rose/in-2/a.JPG', 'ash/.b.jpg'),
      *('ash/b.jpg', 'ash/b.txt', '.git/a.jpg', '__MACOSX/ash/b.jpg', 'c.jpg'),
    ],
    {
      'train': [
        ('ash/b.jpg', 0),
        ('rose/z.jpg', 1),
        ('rose/in/a.jpg', 1),
        ('rose/in-2/a.JPG', 1),
      ]
    },
    CLASSES,
  ),
  'ImageNetV2': (
    ['10/a.jpg', '9/b.jpg', '2/c.jpg'],
    {'train': [('2/c.jpg', 0), ('9/b.jpg', 1), ('10/a.jpg', 2)]},
    ('2', '9', '10'),
  ),
  **{
    f'{train} and {other}': (
      [f'{train}/rose/a.jpg', f'{train}/ash/b.jpg', f'{other}/rose/c.jpg'],
      {
        'train': [('ash/b.jpg', 0), ('rose/a.jpg', 1)],
        split: [('rose/c.jpg', 1)],
      },
      CLASSES,
    )
    for train, other, split in (
      ('train', 'val', 'validation'),
      ('training', 'valid', 'validation'),
      ('Train', 'validation', 'validation'),
      ('train', 'dev', 'validation'),
      ('train', 'test', 'test'),
      ('train', 'testing', 'test'),
      ('train', 'eval', 'test'),
      ('train', 'evaluation', 'test'),
    )
  },
  'three splits, in this order': (
    ['test/rose/a.jpg', 'val/rose/b.jpg', 'train/rose/c.jpg'],
    {
      'train': [('rose/c.jpg', 0)],
      'validation': [('rose/b.jpg', 0)],
      'test': [('rose/a.jpg', 0)],
    },
    ('rose',),
  ),
  'a test split without labels is left out': (
    ['test/a.jpg', 'train/rose/c.jpg'],
    {'train': [('rose/c.jpg', 0)]},
    ('rose',),
  ),
  'PyTorch': (
    [f'train/{WNID[1]}/a.JPEG', f'train/{WNID[0]}/b.JPEG']
    + [f'val/{WNID[0]}/{name}' for name in OFFICIAL],
    {
      'train': [(f'{WNID[0]}/b.JPEG', 0), (f'{WNID[1]}/a.JPEG', 1)],
      'validation': [(OFFICIAL[0], 65), (OFFICIAL[1], 970)],
    },
    WNID,
  ),
  'Kaggle': (
    [f'train/{WNID[0]}/b.JPEG', *(f'val/{name}' for name in OFFICIAL)],
    {
      'train': [(f'{WNID[0]}/b.JPEG', 0)],
      'validation': [(OFFICIAL[0], 65), (OFFICIAL[1], 970)],
    },
    WNID,
  ),
  'official images alone': (
    OFFICIAL,
    {'validation': [(OFFICIAL[0], 65), (OFFICIAL[1], 970)]},
    None,
  ),
  'official images alone, in class folders': (
    [f'{WNID[0]}/{name}' for name in OFFICIAL],
    {'validation': [(OFFICIAL[0], 65), (OFFICIAL[1], 970)]},
    None,
  ),
  'metadata.csv': (
    {
      'b.jpg': '',
      'in/a.jpg': '',
      'metadata.csv': 'file_name,text,label\nb.jpg,x,rose\nin/a.jpg,"y, z",ash',
    },
    {'train': [('b.jpg', 1), ('in/a.jpg', 0)]},
    CLASSES,
  ),
  'metadata.jsonl in each split': (
    {
      'train/b.jpg': '',
      'train/metadata.jsonl': '{"file_name": "b.jpg", "label": 3}\n',
      'test/c.jpg': '',
      'test/metadata.jsonl': '{"file_name": "c.jpg", "label": 0}\n',
    },
    {'train': [('b.jpg', 3)], 'test': [('c.jpg', 0)]},
    None,
  ),
}


def in_folder(root, tmp_path):
  return root


def in_tar(root, tmp_path):
  with tarfile.open(tmp_path / 'images.tar', 'w') as tar:
    for path in sorted(root.iterdir()):
      tar.add(path, path.name)
  return tmp_path / 'images.tar'


@pytest.mark.parametrize('place', [in_folder, in_tar])
@pytest.mark.parametrize('case', LAYOUTS)
@pytest.mark.filterwarnings('ignore:.*left out')
def test_layouts(tmp_path, case, place):
  files, splits, class_names = LAYOUTS[case]
  if place is in_tar and 'metadata' in case:
    pytest.skip('refused: a table is not read from a tar')
  path = place(make(tmp_path / 'root', files), tmp_path)
  config = imagenet_val_tfrec.ImagenetValTfrecConfig(
    name='x',
    image_dir=str(path),
    num_images=2 if OFFICIAL[0] in str(files) else 0,
  )
  examples = config.examples('')
  assert [*examples] == [*splits]
  for split, expected in splits.items():
    labels = examples[split].labels
    limit = config.num_images or len(expected)
    found = zip(labels.names, labels.labels, strict=True)
    assert [*found] == expected[:limit], split
  assert layouts.look(str(path)).class_names == class_names


REFUSED = {
  'a folder beside splits': (
    ['train/rose/a.jpg', 'val/rose/b.jpg', 'more/rose/c.jpg'],
    "'train', 'val' look like splits, but 'more' does not fit",
  ),
  'two folders for a split': (
    ['train/rose/a.jpg', 'val/rose/b.jpg', 'valid/rose/c.jpg'],
    "look like splits, but 'valid' does not fit",
  ),
  'a class that train lacks': (
    ['train/rose/a.jpg', 'val/rose/b.jpg', 'val/oak/b.jpg', 'val/fir/b.jpg'],
    "val: 'fir', 'oak' are classes that train does not have; remove",
  ),
  'an empty class': (
    ['rose/a.jpg', 'ash/notes.txt'],
    "no image for 1 classes: 'ash'; remove their folders, or fill them",
  ),
  'folders in one folder': (
    ['images/rose/a.jpg', 'images/ash/b.jpg'],
    'one class, or classes below it. For these say "image_dir": ',
  ),
  'images alone': (
    ['a.jpg'],
    'there is no folder for each class, no metadata.c',
  ),
  'nothing': (['a.txt'], 'no label file was given, there is no folder'),
  'images of a split alone': (
    ['train/rose/a.jpg', 'val/a.jpg'],
    'val: no label file was given, there is no folder for each class',
  ),
  'metadata.csv beside folders of splits': (
    {'train/ash/a.jpg': '', 'val/ash/b.jpg': '', 'metadata.csv': ''},
    "'metadata.csv' beside folders of splits, 'train', 'val': one split",
  ),
  'two metadata files': (
    {'a.jpg': '', 'metadata.csv': '', 'metadata.jsonl': ''},
    'there are metadata.csv and metadata.jsonl; keep one of them',
  ),
  'metadata without labels': (
    {'a.jpg': '', 'metadata.csv': 'file_name,text,more\na.jpg,rose,1\n'},
    'metadata.csv:1: 3 columns, without a header such as "file_name,label"',
  ),
  'metadata with several labels in CSV': (
    {'a.jpg': '', 'metadata.csv': 'file_name,label\na.jpg,"[1, 4]"\n'},
    "is '[1, 4]', expected digits 0-9 only; several labels need a .jsonl file",
  ),
  'metadata of another image': (
    {'a.jpg': '', 'metadata.csv': 'file_name,label\nb.jpg,1\n'},
    "metadata.csv:2: 'b.jpg'",
  ),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refused(tmp_path, case, capsys):
  files, message = REFUSED[case]
  config = {'name': 'x', 'image_dir': str(make(tmp_path / 'root', files))}
  arguments = ['--data_dir', str(tmp_path), '--config', json.dumps(config)]
  assert __main__.main(['build', *arguments]) == 1
  error = capsys.readouterr().err
  assert message in error
  assert 'Traceback' not in error
  assert making.left_behind(tmp_path) == []


def test_metadata_in_a_tar_is_refused(tmp_path):
  files = LAYOUTS['metadata.csv'][0]
  path = in_tar(make(tmp_path / 'root', files), tmp_path)
  with pytest.raises(
    errors.InputError, match='unpack it and name it: "label_f'
  ):
    layouts.look(str(path))


def test_the_train_tar_is_read_in_place(tmp_path):
  """As `ILSVRC2012_img_train.tar`: a tar of a tar for each class."""
  images = {f'{WNID[i]}_{i}.JPEG': making.picture() for i in (2, 0, 1)}
  tars = {
    f'{name[:9]}.tar': making.tar_bytes({name: image})
    for name, image in images.items()
  }
  path = making.write_tar(tmp_path / 'train.tar', tars)
  config = {'name': 'x', 'image_dir': str(path)}
  arguments = ['--data_dir', str(tmp_path), '--config', json.dumps(config)]
  assert __main__.main(['build', *arguments]) == 0
  dataset = imagenet_val_tfrec.Builder(
    data_dir=tmp_path,
    config=imagenet_val_tfrec.ImagenetValTfrecConfig(**config),
  )
  assert dataset.info.features['label'].names == [*WNID[:3]]
  assert dataset.info.splits['train'].num_examples == 3


def test_from_folders_to_splits(tmp_path, capsys):
  files = ['train/rose/a.jpg', 'train/ash/b.jpg', 'val/rose/c.jpg']
  config = {'name': 'x', 'image_dir': str(make(tmp_path / 'root', files))}
  arguments = ['--data_dir', str(tmp_path), '--config', json.dumps(config)]
  for word in ('built: ', 'already there, checked: '):
    assert __main__.main(['build', *arguments]) == 0
    out, error = capsys.readouterr()
    assert out.startswith(word)
    what = 'train from train/, 2 class folders; validation from val/, 1 class f'
    assert (f'{config["image_dir"]}: {what}' in error) == (word == 'built: ')
  version = tmp_path / 'imagenet_val_tfrec' / 'x' / '1.0.0'
  assert __main__.main(['verify', str(version)]) == 0
  (tmp_path / 'root/train/ash/d.jpg').write_bytes(making.picture())
  assert __main__.main(['build', *arguments]) == 1
  assert 'was made from other input' in capsys.readouterr().err


def test_words_in_a_label_file(tmp_path):
  root = make(tmp_path / 'root', ['my rose.jpg', 'b.jpg'])
  (tmp_path / 'l.txt').write_text('my rose.jpg rose\nb.jpg ash\n')
  config = {
    'name': 'x',
    'image_dir': str(root),
    'label_file': str(tmp_path / 'l.txt'),
  }
  arguments = ['--data_dir', str(tmp_path), '--config', json.dumps(config)]
  assert __main__.main(['build', *arguments]) == 0
  names = tmp_path / 'imagenet_val_tfrec/x/1.0.0/label.labels.txt'
  assert names.read_text().split() == ['ash', 'rose']


@pytest.mark.parametrize(
  ('files', 'config', 'expected'),
  [
    (
      REFUSED['a folder beside splits'][0],
      {'splits': {'train': 'train', 'validation': 'val', 'more': 'more'}},
      {'train': [0], 'validation': [0], 'more': [0]},
    ),
    (
      REFUSED['folders in one folder'][0],
      {'image_dir': 'images'},
      {'train': [0, 1]},
    ),
    (
      {'a.jpg': '', 'b.jpg': '', 'labels.csv': 'a.jpg,rose\nb.jpg,ash\n'},
      {'image_dir': '', 'label_file': 'labels.csv'},
      {'validation': [1, 0]},
    ),
    (
      ['rose/a.jpg', 'ash/b.jpg'],
      {'image_dir': '', 'class_names': ['rose', 'elm', 'ash']},
      {'train': [0, 2]},
    ),
    (
      ['train/rose/a.jpg', 'val/rose/b.jpg'],
      {'splits': {'train': ''}},
      "split 'train': there are several in ",
    ),
  ],
)
def test_what_to_write_in_the_config(tmp_path, files, config, expected):
  root = make(tmp_path / 'root', files)
  for key in ('image_dir', 'label_file'):
    if key in config:
      config = {**config, key: str(root / config[key])}
  if 'splits' in config:
    paths = {name: str(root / path) for name, path in config['splits'].items()}
    config = {'splits': paths}

  def found():
    config_ = imagenet_val_tfrec.ImagenetValTfrecConfig(name='x', **config)
    examples = config_.examples('')
    return {name: [*examples[name].labels.labels] for name in examples}

  if isinstance(expected, str):
    with pytest.raises(errors.InputError, match=expected):
      found()
  else:
    assert found() == expected
