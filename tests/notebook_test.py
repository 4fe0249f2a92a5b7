"""The notebook runs from start to end, and is stored without outputs."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil

import making
import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image

from imagenet_val_tfrec.inputs import imagenet

EXAMPLES = making.ROOT / 'examples'
NOTEBOOK = EXAMPLES / 'train_and_evaluate.ipynb'


def _read() -> nbformat.NotebookNode:
  return nbformat.read(NOTEBOOK, as_version=4)


def _code_cells(notebook) -> list[nbformat.NotebookNode]:
  return [cell for cell in notebook.cells if cell.cell_type == 'code']


def test_it_is_stored_without_outputs():
  cells = _code_cells(_read())
  assert len(cells) > 5
  assert [cell.outputs for cell in cells] == [[]] * len(cells)
  assert {cell.execution_count for cell in cells} == {None}


def _execute(**parameters: object) -> nbformat.NotebookNode:
  """Runs it with these lines at the end of its first cell, and no others."""
  notebook = _read()
  first = _code_cells(notebook)[0]
  assert first.metadata.tags == ['parameters']
  for name, value in parameters.items():
    assert f'\n{name} = ' in first.source
    first.source += f'\n{name} = {value!r}'
  # The package need not be installed: it is found as the tests find it.
  places = [os.fspath(making.ROOT), *filter(None, [os.getenv('PYTHONPATH')])]
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('PYTHONPATH', os.pathsep.join(places))
    # As it stands: it quiets TensorFlow itself.
    patch.delenv('TF_CPP_MIN_LOG_LEVEL', raising=False)
    nbclient.NotebookClient(
      notebook,
      timeout=120,
      kernel_name='python3',
      resources={'metadata': {'path': os.fspath(EXAMPLES)}},
    ).execute()
  return notebook


@pytest.fixture(scope='module')
def executed(tmp_path_factory):
  return _execute(DATA_DIR=os.fspath(tmp_path_factory.mktemp('data')))


def _outputs(notebook, kind: str) -> list[str]:
  return [
    output['data'][kind]
    for cell in _code_cells(notebook)
    for output in cell.outputs
    if kind in output.get('data', {})
  ]


def _printed(notebook, stream: str = 'stdout') -> str:
  return ''.join(
    output['text']
    for cell in _code_cells(notebook)
    for output in cell.outputs
    if output.output_type == 'stream' and output.name == stream
  )


def test_it_draws_five_figures(executed):
  figures = _outputs(executed, 'image/png')
  assert len(figures) == 5
  for figure in figures:
    image = Image.open(io.BytesIO(base64.b64decode(figure))).convert('RGB')
    assert min(image.size) > 200
    assert np.asarray(image).std() > 10


def test_it_learns_shapes(executed):
  assert "{'train': 400, 'validation': 150}" in _outputs(executed, 'text/plain')
  accuracy, number = re.search(
    r'Validation accuracy: (.+)% of (\d+) images', _printed(executed)
  ).groups()
  assert 90 <= float(accuracy) <= 100
  assert number == '150'


def test_it_evaluates_by_recipe(executed):
  line = (
    r'MobileNetV2: top-1 .+ \(published 71.3\), .+ 8 images, not the 50,000'
  )
  assert re.search(line, _printed(executed))


def test_nothing_is_logged_between_the_figures(executed):
  assert not _printed(executed, 'stderr')
  assert not re.search('it/s|WARNING|INFO', _printed(executed))
  shown = [
    output.output_type
    for cell in _code_cells(executed)
    for output in cell.outputs
    if 'application/vnd.jupyter.widget-view+json' in output.get('data', {})
  ]
  assert not shown  # Bars of progress.


def test_it_reads_raw_files_and_by_number(executed):
  printed = _printed(executed)
  # Of dummy_data: the first and the last picture, and the sixth one's class.
  assert 'daisy: (240, 240, 3), uint8' in printed
  assert 'umbrella: (219, 173, 3), uint8' in printed
  assert 'The sixth of 8: honeycomb,\n256 pixels wide and 192 high' in printed


def test_only_the_first_cell_changes(tmp_path):
  """Also with images in a folder, and labels of Kaggle."""
  wnids = imagenet.wnids()
  rows = ['ImageId,PredictionString']
  (tmp_path / 'val_images').mkdir()
  for line in (making.DUMMY / 'val.txt').read_text().splitlines()[:3]:
    name, label = line.split()
    shutil.copy(making.DUMMY / 'val_images' / name, tmp_path / 'val_images')
    stem = name.removesuffix('.JPEG')
    rows.append(f'{stem},{wnids[int(label)]} 0 0 9 9')
  (tmp_path / 'LOC_val_solution.csv').write_text('\n'.join(rows) + '\n')
  notebook = _execute(
    MANUAL_DIR=os.fspath(tmp_path),
    DATA_DIR=os.fspath(tmp_path / 'data'),
    BATCH_SIZE=2,
    EPOCHS=1,
  )
  assert _outputs(notebook, 'text/plain')[0] == '3'
  assert len(_outputs(notebook, 'image/png')) == 5
  assert ', 3 images, not the 50,000' in _printed(notebook)


def test_the_readme_has_a_picture_of_it():
  with Image.open(EXAMPLES / 'pictures.png') as image:
    assert image.size[0] > 600
