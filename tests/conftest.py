"""What all tests share: no progress bars, and property tests that repeat."""

import hypothesis
import pytest
import tensorflow_datasets as tfds

hypothesis.settings.register_profile(
  'repeatable',
  derandomize=True,
  database=None,
  deadline=None,
  print_blob=True,
)
hypothesis.settings.load_profile('repeatable')


@pytest.fixture(autouse=True, scope='session')
def _no_progress_bar():
  tfds.disable_progress_bar()
