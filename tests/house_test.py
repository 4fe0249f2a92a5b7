"""The house: imports run one way, heavy ones stay out, names are kept."""

import ast
import pathlib
import subprocess
import sys
import zipfile

import pytest

import imagenet_val_tfrec

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / 'imagenet_val_tfrec'

# A module imports only modules above it. A new one finds its place here first.
FLOORS = [
  ['_version', 'errors', 'names', 'numbering', 'wire', 'progress'],
  ['storage'],
  ['files', 'folders', 'jpeg', 'label_lines', 'outputs', 'records', 'staging'],
  [
    *('command_line', 'decoding', 'frames', 'inventory', 'other_images'),
    *('publishing', 'tar_index'),
  ],
  ['counting', 'labels', 'sources'],
  ['imagenet', 'matching'],
  ['discovery', 'join'],
  ['plan'],
  ['reading', 'runners'],
  ['shards'],
  ['config', 'layout', 'provenance'],
  ['image_ops', 'inspection', 'prepared', 'staged_builder'],
  ['checking', 'preprocessing'],
  ['completeness'],
  ['imagenet_val_tfrec_dataset_builder', 'images_to_tfrec', 'pipeline'],
  ['adoption', 'verification'],
  ['__main__', 'legacy'],
  ['__init__'],
]

WITHOUT_TENSORFLOW = [
  'import imagenet_val_tfrec',
  'from imagenet_val_tfrec import labels, jpeg, sources, plan, shards, runners',
  'from imagenet_val_tfrec import images_to_tfrec',
  'from imagenet_val_tfrec import __main__',
]


def imports_of(module: str) -> set[str]:
  """Returns the modules of this package that a module imports, anywhere."""
  found = set()
  tree = ast.parse((PACKAGE / f'{module}.py').read_text())
  for node in ast.walk(tree):
    if isinstance(node, ast.ImportFrom):
      if node.module == 'imagenet_val_tfrec':
        found |= {alias.name for alias in node.names}
      elif (node.module or '').startswith('imagenet_val_tfrec.'):
        found.add(node.module.split('.')[1])
    elif isinstance(node, ast.Import):
      found |= {
        alias.name.split('.')[1]
        for alias in node.names
        if alias.name.startswith('imagenet_val_tfrec.')
      }
  return found


def test_every_module_has_its_floor():
  modules = {path.stem for path in PACKAGE.glob('*.py')}
  assert modules == {module for floor in FLOORS for module in floor}


@pytest.mark.parametrize('floor', range(len(FLOORS)))
def test_imports_run_one_way(floor):
  above = {module for modules in FLOORS[:floor] for module in modules}
  for module in FLOORS[floor]:
    assert imports_of(module) <= above, module


@pytest.mark.parametrize('statement', WITHOUT_TENSORFLOW)
def test_nothing_heavy_is_imported(statement):
  script = (
    f'{statement}\n'
    'import sys\n'
    'heavy = {"tensorflow", "apache_beam", "keras", "jax", "torch"}\n'
    'print(sorted(heavy & set(sys.modules)))\n'
  )
  run = subprocess.run(
    [sys.executable, '-c', script],
    check=True,
    capture_output=True,
    text=True,
    cwd=ROOT,
  )
  assert run.stdout == '[]\n'


def test_public_names():
  assert set(imagenet_val_tfrec.__all__) == {
    'Builder',
    'ImagenetValTfrecConfig',
    '__version__',
  }
  assert imagenet_val_tfrec.Builder.name == 'imagenet_val_tfrec'
  assert imagenet_val_tfrec.Builder.VERSION == '1.0.0'
  assert imagenet_val_tfrec.Builder.__module__ == (
    'imagenet_val_tfrec.imagenet_val_tfrec_dataset_builder'
  )
  configs = imagenet_val_tfrec.Builder.builder_configs
  assert list(configs) == ['imagenet2012']


def test_no_module_is_too_long():
  lengths = {
    path.name: len(path.read_text().splitlines())
    for path in PACKAGE.glob('*.py')
  }
  assert {n: lines for n, lines in lengths.items() if lines > 250} == {}


def test_wheel_holds_the_metadata_files(tmp_path):
  copy = tmp_path / 'source'
  copy.mkdir()
  for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
    (copy / name).write_bytes((ROOT / name).read_bytes())
  (copy / PACKAGE.name).mkdir()
  for path in PACKAGE.iterdir():
    if path.is_file():
      (copy / PACKAGE.name / path.name).write_bytes(path.read_bytes())
  subprocess.run(
    [
      *(sys.executable, '-m', 'pip', 'wheel', '--no-deps'),
      *('--wheel-dir', str(tmp_path), str(copy)),
    ],
    check=True,
  )
  (wheel,) = tmp_path.glob('*.whl')
  with zipfile.ZipFile(wheel) as archive:
    names = set(archive.namelist())
    points = [name for name in names if name.endswith('entry_points.txt')]
    scripts = archive.read(points[0]).decode()
  for name in ('README.md', 'CITATIONS.bib', 'TAGS.txt', 'py.typed'):
    assert f'imagenet_val_tfrec/{name}' in names
  assert not [n for n in names if n.startswith(('tests', 'dummy_data'))]
  assert 'images_to_tfrec = ' in scripts
