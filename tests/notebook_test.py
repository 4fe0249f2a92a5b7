"""The notebook runs from start to end, and is stored without outputs."""

from __future__ import annotations

import ast
import base64
import io
import os
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
    patch.setenv('TF_CPP_MIN_LOG_LEVEL', '2')
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


def _printed(notebook) -> str:
  return ''.join(
    output['text']
    for cell in _code_cells(notebook)
    for output in cell.outputs
    if output.output_type == 'stream' and output.name == 'stdout'
  )


def test_it_draws_three_figures(executed):
  figures = _outputs(executed, 'image/png')
  assert len(figures) == 3
  for figure in figures:
    image = Image.open(io.BytesIO(base64.b64decode(figure))).convert('RGB')
    assert min(image.size) > 200
    assert np.asarray(image).std() > 10


def test_it_trains_and_evaluates(executed):
  results = [
    ast.literal_eval(text)
    for text in _outputs(executed, 'text/plain')
    if text.startswith('{')
  ]
  trained, untrained = results
  assert trained['top_1'] * 8 in range(9)
  assert trained['top_1'] <= trained['top_5'] <= 1
  assert untrained['cross_entropy'] == pytest.approx(np.log(1000), abs=0.1)


def test_it_reads_raw_files_and_by_number(executed):
  printed = _printed(executed)
  # Of dummy_data: the first and the last picture, and the sixth one's class.
  assert 'n11939491: (240, 240, 3), uint8' in printed
  assert 'n04507155: (219, 173, 3), uint8' in printed
  assert '8 examples; the sixth is of class 599' in printed
  assert printed.count('(4, 224, 224, 3)') == 2


def test_only_the_first_cell_changes(tmp_path):
  """Also with images in a folder, labels of Kaggle, and batches of one."""
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
    BATCH_SIZE=1,
    EPOCHS=1,
  )
  assert _outputs(notebook, 'text/plain')[0] == '3'
  assert len(_outputs(notebook, 'image/png')) == 3
  assert '3/3 - ' in _printed(notebook)  # As many steps as an epoch has.


def test_the_readme_has_a_picture_of_it():
  with Image.open(EXAMPLES / 'pictures.png') as image:
    assert image.size[0] > 600
