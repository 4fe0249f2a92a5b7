"""What the fuzzer learnt, in short: every input that it kept is run again."""

import importlib.util
import zipfile

import making
import pytest

FUZZ = making.ROOT / 'fuzz'


@pytest.fixture(scope='module')
def targets():
  spec = importlib.util.spec_from_file_location('targets', FUZZ / 'targets.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


@pytest.mark.parametrize(('what', 'at_least'), [('jpeg', 100), ('tar', 100)])
def test_seeds(targets, what, at_least):
  check = getattr(targets, f'check_{what}')
  with zipfile.ZipFile(FUZZ / f'{what}.zip') as seeds:
    assert len(seeds.namelist()) >= at_least
    for name in seeds.namelist():
      try:
        check(seeds.read(name))
      except Exception as e:
        raise AssertionError(f'{what}.zip: {name}') from e
