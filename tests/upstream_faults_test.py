"""`docs/faults.py` shows what the code says it shows, and it is still so."""

import pathlib
import re
import subprocess
import sys

import making

SCRIPT = making.ROOT / 'docs' / 'faults.py'
PACKAGE = making.ROOT / 'imagenet_val_tfrec'

# It is a matter of luck how long that takes.
NOT_RUN = {'autotune'}


def faults_named_in(path: pathlib.Path) -> set[str]:
  """Returns the words behind `docs/faults.py`, up to a bracket."""
  lists = re.findall(r'docs/faults\.py ([\w\s,]+)\)', path.read_text())
  return {word for words in lists for word in re.findall(r'\w+', words)}


def test_every_fault_is_there_and_has_its_place_in_the_code():
  shown = set(re.findall(r'@fault\ndef (\w+)', SCRIPT.read_text()))
  named = set().union(*map(faults_named_in, PACKAGE.rglob('*.py')))
  assert named == shown
  run = subprocess.run(
    [sys.executable, SCRIPT, *sorted(shown - NOT_RUN)],
    check=True,
    capture_output=True,
    text=True,
  )
  states = dict(re.findall(r'^(\w+): (\w+):', run.stdout, re.MULTILINE))
  # What is gone, the package need not work around any more.
  assert states == dict.fromkeys(shown - NOT_RUN, 'there')
