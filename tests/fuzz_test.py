"""What the fuzzer learnt, in short: every input that it kept is run again."""

import zipfile

import making
import pytest
import targets


@pytest.mark.parametrize(
  ('what', 'at_least'), [('jpeg', 100), ('tar', 100), ('images', 90)]
)
def test_seeds(what, at_least):
  check = getattr(targets, f'check_{what}')
  with zipfile.ZipFile(making.ROOT / 'fuzz' / f'{what}.zip') as seeds:
    assert len(seeds.namelist()) >= at_least
    for name in seeds.namelist():
      try:
        check(seeds.read(name))
      except Exception as e:
        raise AssertionError(f'{what}.zip: {name}') from e
