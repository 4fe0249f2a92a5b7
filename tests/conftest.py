"""What all tests share: no bars, no syncing, property tests that repeat."""

import os

import hypothesis
import pytest
import tensorflow_datasets as tfds

# Nobody pulls the plug; but see `power_loss_test`.
os.environ['IMAGENET_VAL_TFREC_NO_SYNC'] = '1'

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
