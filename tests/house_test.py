"""The house: imports run one way, heavy ones stay out, names are kept.

Of `_version`, too.
"""

import ast
import pathlib
import shutil
import subprocess
import sys

import pytest

import imagenet_val_tfrec

ROOT = pathlib.Path(__file__).parent.parent
PACKAGE = ROOT / 'imagenet_val_tfrec'

# What the modules of a folder may import; '' is the root, which may all.
MAY_IMPORT = {
  'core': {'core'},
  'records': {'core', 'records'},
  'inputs': {'core', 'records', 'inputs'},
  'writing': {'core', 'records', 'inputs', 'writing'},
  'dataset': {'core', 'records', 'inputs', 'writing', 'dataset'},
  'pipeline': {'core', 'records', 'pipeline'},
  'evaluation': {'core', 'records', 'inputs', 'pipeline', 'evaluation'},
  'verify': {'core', 'records', 'inputs', 'verify'},
}
MAY_IMPORT['commands'] = {'', 'commands', *MAY_IMPORT}  # All.
MOST_MODULES, MOST_LINES = 9, 400

WITHOUT_TENSORFLOW = [
  'import imagenet_val_tfrec',
  'from imagenet_val_tfrec.inputs import labels, sources',
  'from imagenet_val_tfrec.writing import plan, runners, shards',
  'from imagenet_val_tfrec import verify',
  'from imagenet_val_tfrec import images_to_tfrec',
  'from imagenet_val_tfrec import __main__',
]


def modules_of(folder: str) -> list[pathlib.Path]:
  """Returns the modules of a folder; '' is the root."""
  return sorted((PACKAGE / folder).glob('*.py'))


def folders_imported(module: pathlib.Path) -> set[str]:
  """Returns the folders that a module imports from; '' is the root."""
  names = []
  for node in ast.walk(ast.parse(module.read_text())):
    if isinstance(node, ast.ImportFrom):
      names += [f'{node.module}.{alias.name}' for alias in node.names]
    elif isinstance(node, ast.Import):
      names += [alias.name for alias in node.names]
  parts = [name.split('.') for name in names]
  inside = [part[1:] for part in parts if part[0] == PACKAGE.name]
  return {part[0] if part[0] in MAY_IMPORT else '' for part in inside}


def test_every_folder_has_its_rule():
  folders = {path.parent.name for path in PACKAGE.glob('*/*.py')}
  assert folders == set(MAY_IMPORT)


@pytest.mark.parametrize('folder', MAY_IMPORT)
def test_imports_run_one_way(folder):
  for module in modules_of(folder):
    assert folders_imported(module) <= MAY_IMPORT[folder], module


@pytest.mark.parametrize('folder', ['', *MAY_IMPORT])
def test_folders_are_small(folder):
  names = [path.name for path in modules_of(folder)]
  assert len(set(names) - {'__init__.py'}) <= MOST_MODULES


def test_every_module_has_a_test():
  """In a test file of its name, or named in the docstring of one."""
  tests = list((ROOT / 'tests').rglob('*_test.py'))
  own = {path.name.removesuffix('_test.py') for path in tests}
  said = ' '.join(ast.get_docstring(ast.parse(p.read_text())) for p in tests)
  modules = {path.stem for path in PACKAGE.rglob('*.py')} - {'__init__'}
  named = {name for name in modules if f'`{name}`' in said}
  assert modules - own - named == set()


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
    str(path): len(path.read_text().splitlines())
    for path in PACKAGE.rglob('*.py')
  }
  assert {n: k for n, k in lengths.items() if k > MOST_LINES} == {}


def test_what_is_installed(tmp_path):
  """By README's command, but without the packages that it needs."""
  clone = tmp_path / 'clone'
  clone.mkdir()
  for name in ('setup.cfg', 'pyproject.toml', 'README.md', 'LICENSE'):
    (clone / name).write_bytes((ROOT / name).read_bytes())
  ignored = shutil.ignore_patterns('__pycache__')
  shutil.copytree(PACKAGE, clone / PACKAGE.name, ignore=ignored)
  assert '\npip install PATH_OF_THE_CLONE\n' in (ROOT / 'README.md').read_text()
  target = tmp_path / 'target'
  subprocess.run(
    [
      *(sys.executable, '-m', 'pip', 'install', str(clone)),
      *('--no-deps', '--target', str(target)),
    ],
    check=True,
  )
  names = {str(path.relative_to(target)) for path in target.rglob('*')}
  for name in ('README.md', 'CITATIONS.bib', 'TAGS.txt', 'py.typed'):
    assert f'imagenet_val_tfrec/{name}' in names
  for path in (
    *PACKAGE.rglob('*.py'),
    *PACKAGE.rglob('class_names.txt'),
    *PACKAGE.rglob('report.html'),
  ):
    assert path.relative_to(ROOT).as_posix() in names
  assert not [n for n in names if n.startswith(('tests', 'dummy_data'))]
  assert {'bin/images_to_tfrec', 'bin/imagenet_val_tfrec'} <= names
