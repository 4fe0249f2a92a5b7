"""Paths that only `epath` knows: an object store, in memory, by fsspec."""

import pathlib
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).parent.parent
DUMMY = ROOT / 'dummy_data'

STORE = """
import hashlib, os, pathlib, sys
os.environ['EPATH_USE_TF'] = 'false'
import fsspec
from fsspec.implementations.memory import MemoryFileSystem

class Store(MemoryFileSystem):
  protocol = ('s3',)
  root_marker = ''
  store, pseudo_dirs = {}, ['']
  @classmethod
  def _strip_protocol(cls, path):
    return '/' + str(path).removeprefix('s3://').strip('/')

fsspec.register_implementation('s3', Store, clobber=True)
import tensorflow_datasets as tfds
import imagenet_val_tfrec
from imagenet_val_tfrec.core import storage
from etils import epath

def put(path, target):
  for file in sorted(pathlib.Path(path).rglob('*')):
    if file.is_file():
      to = epath.Path(target) / file.relative_to(path)
      to.parent.mkdir(parents=True, exist_ok=True)
      to.write_bytes(file.read_bytes())

def build(data_dir, manual_dir, **options):
  builder = imagenet_val_tfrec.Builder(data_dir=data_dir)
  builder.download_and_prepare(download_config=tfds.download.DownloadConfig(
    manual_dir=manual_dir, num_shards=3, **options))
  return {p.name: hashlib.sha256(p.read_bytes()).hexdigest()
          for p in epath.Path(builder.data_dir).iterdir()
          if '.tfrecord' in p.name}

dummy, here = sys.argv[1:]
put(dummy, 's3://bucket/manual')
"""

CASES = {
  'from the tar there to here': """
    theirs = build(here + '/remote', 's3://bucket/manual')
    assert theirs == build(here + '/local', dummy)
    """,
  'from here to there': """
    theirs = build('s3://bucket/data', dummy)
    assert theirs == build(here + '/local', dummy)
    names = {p.name for p in
             epath.Path('s3://bucket/data/imagenet_val_tfrec').iterdir()}
    assert names == {'.config', 'imagenet2012'}, names
    """,
  'from a folder there to there': """
    epath.Path('s3://bucket/manual/ILSVRC2012_img_val.tar').unlink()
    theirs = build('s3://bucket/data', 's3://bucket/manual')
    assert theirs == build(here + '/local', dummy)
    """,
  'on Beam': """
    theirs = build('s3://bucket/data', 's3://bucket/manual',
                   beam_runner='DirectRunner')
    assert theirs == build(here + '/local', dummy)
    """,
}


@pytest.mark.parametrize('case', CASES)
def test_an_object_store(tmp_path, case):
  script = STORE + textwrap.dedent(CASES[case])
  subprocess.run(
    [sys.executable, '-c', script, str(DUMMY), str(tmp_path)],
    check=True,
    cwd=ROOT,
  )
