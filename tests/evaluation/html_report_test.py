"""The report, as a browser shows it: what is in it, sorting, searching."""

from __future__ import annotations

import dataclasses
import os
import re

import chromium
import making
import numpy as np
import pytest

from imagenet_val_tfrec import evaluation, images_to_tfrec
from imagenet_val_tfrec.core import errors
from imagenet_val_tfrec.pipeline.recipes import Recipe

# Of dummy_data, in the order of its val.txt; and what the model says.
LABELS = [985, 417, 970, 978, 971, 599, 920, 879]
BEST = [985, 417, 970, 985, 985, 985, 978, 985]
HOSTILE = '</script><script>document.title = "taken"</script><img src=x>'

ROWS = '[...document.querySelectorAll("#classes tbody tr")]'
SHOWN = f'{ROWS}.filter((row) => row.offsetHeight)'
NAMES = f'{SHOWN}.map((row) => row.cells[0].firstChild.textContent)'
FOCUS = 'document.activeElement.textContent'


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
  return making.build(
    tmp_path_factory.mktemp('data'),
    image_dir=making.DUMMY / 'val_images',
    label_file=making.DUMMY / 'val.txt',
    num_classes=1000,
  )


@pytest.fixture(scope='module')
def found(dataset):
  scores = np.zeros((8, 1000), np.float32)
  # Of the wrong ones, the last is the surest.
  scores[np.arange(8), BEST] = 5 + np.arange(8)
  return evaluation.evaluate(
    lambda images: scores,
    dataset,
    Recipe(image_size=16, resize_size=16, published_top1=0.5),
    batch_size=8,
    names=[f'{i}.JPEG' for i in range(7)] + [HOSTILE],
  )


@pytest.fixture(scope='module')
def page():
  if not chromium.find():
    if 'CI' in os.environ:
      pytest.fail('in CI, .ci/run installs a browser')
    pytest.skip(f'none of {", ".join(chromium.NAMES)} is installed')
  with chromium.start() as page:
    yield page


@pytest.fixture(scope='module')
def html(found, tmp_path_factory):
  path = tmp_path_factory.mktemp('report') / 'report.html'
  found.to_html(path)
  return path


@pytest.mark.parametrize('scheme', ['light', 'dark'])
@pytest.mark.parametrize('width', [360, 1280])
def test_it_fits_and_needs_no_network(page, html, width, scheme):
  page.asked.clear()
  page.open(html, width, scheme)
  assert page.run('document.documentElement.scrollWidth') <= width
  assert page.faults == []
  assert {url.partition(':')[0] for url in page.asked} <= {'file', 'data'}
  images = '[...document.images]'
  assert page.run(f'{images}.every((i) => i.naturalWidth == 144 && i.alt)')
  # Five mistakes; each is also the example of a confusion.
  assert page.run(f'{images}.length') == 10
  background = page.run('getComputedStyle(document.body).backgroundColor')
  channels = [int(number) for number in re.findall(r'\d+', background)]
  assert (sum(channels) < 200) == (scheme == 'dark')


def test_what_one_reads(page, html):
  page.open(html, 1280)
  text = page.run('document.body.innerText')
  for part in (
    '37.5 % ± 27.9',
    'published: 50.0 %; the difference is −12.5 points, 0.7 standard errors',
    'The published number is of 50,000 images, this one of 8.',
    '8 of 1,000 classes have images.',
    'imagenet_val_tfrec/made/1.0.0',
  ):
    assert part in text
  gallery = '[...document.querySelectorAll("#gallery figure")]'
  assert page.run(f'{gallery}.map((f) => f.querySelector("img").alt)') == [
    'umbrella, taken for daisy',
    'traffic light, taken for seashore',
    'honeycomb, taken for daisy',
    'bubble, taken for daisy',
    'seashore, taken for daisy',
  ]


def test_what_is_in_data_is_text(page, html):
  page.open(html, 1280)
  assert page.run('document.title').startswith('<lambda>: top-1')
  file = 'document.querySelector("#gallery .file").textContent'
  assert page.run(file) == HOSTILE


def test_table_is_sorted_by_keys(page, html):
  page.open(html, 360)
  worst_first = page.run(NAMES)
  assert worst_first[-3:] == ['balloon', 'alp', 'daisy']
  for _ in range(30):
    page.press('Tab')
    if page.run(FOCUS) == 'Class':
      break
  assert page.run(FOCUS) == 'Class'
  by_name = sorted(worst_first)
  for expected, state in (
    (by_name, 'ascending'),
    (by_name[::-1], 'descending'),
  ):
    page.press('Enter')
    assert page.run(NAMES) == expected
    sorted_by = 'document.activeElement.parentNode.getAttribute("aria-sort")'
    assert page.run(sorted_by) == state
  page.press('Tab')
  page.press('Enter')
  accuracies = page.run(f'{SHOWN}.map((row) => row.cells[1].innerText.trim())')
  assert accuracies == ['0.0 %'] * 5 + ['100.0 %'] * 3
  page.press('Enter')
  assert page.run(f'{SHOWN}[0].cells[1].innerText.trim()') == '100.0 %'


@pytest.mark.parametrize(
  ('words', 'names'),
  [
    ('DAIS', ['daisy']),
    ('n11939491', ['daisy']),  # Its WordNet id.
    ('light traffic', ['traffic light']),
    ('nothing', []),
  ],
)
def test_search(page, html, words, names):
  page.open(html, 360)
  page.run('document.querySelector("#by-class input").focus()')
  page.type(words)
  assert page.run(NAMES) == names
  said = page.run('document.querySelector("#by-class output").textContent')
  assert said == f'{len(names)} of 8'


def pictures_in(found, path) -> dict[str, str]:
  """Returns the pictures of a report by their alternative texts."""
  found.to_html(path)
  pairs = re.findall(r'src="(data:[^"]*)"[^>]*alt="([^"]*)"', path.read_text())
  return {alt: picture for picture, alt in pairs}


def test_pictures_are_of_the_rows(found, tmp_path):
  """Also of a part of the split, and of raw files; others are refused."""
  path = tmp_path / 'report.html'
  pictures = pictures_in(found, path)
  assert len(set(pictures.values())) == 5
  images_to_tfrec.make_tfrec(
    image_dir=str(making.DUMMY / 'val_images'),
    label_file=str(making.DUMMY / 'val.txt'),
    tfrec_dir=str(tmp_path / 'raw'),
    img_shard=3,
  )
  raw = dataclasses.replace(found, source=str(tmp_path / 'raw'))
  assert pictures_in(raw, path) == pictures
  columns = ('indices', 'names', 'labels', 'classes', 'scores')
  columns += ('confidences', 'label_confidences')
  part = {name: getattr(found, name)[3:5] for name in columns}
  part = dataclasses.replace(found, split='validation[3:5]', **part)
  some = pictures_in(part, path)
  assert some.items() < pictures.items()
  assert len(some) == 2
  other = dataclasses.replace(found, labels=found.labels[::-1])
  with pytest.raises(errors.InputError, match='but was evaluated with'):
    other.to_html(path)


def test_all_right(found, tmp_path):
  """Then there are no mistakes to show."""
  right = dataclasses.replace(found, labels=found.classes[:, 0])
  right.to_html(tmp_path / 'right.html')
  text = (tmp_path / 'right.html').read_text()
  assert 'every image was right' in text
  assert '<img' not in text
