"""The rows of `build.py`: their names and their commands."""

from __future__ import annotations

import dataclasses
import string


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
  """One row of the table.

  Attributes:
    name: What it is called, in the table and for `--rows`.
    command: For the shell, with names of paths in braces, as `build.py` makes
      them; `python`, `work` and `peers` are what `_measure.run` says.
    module: The module of the package that it needs.
    reads: Name of the path that it reads all of, if it writes nothing.
  """

  name: str
  command: str
  module: str = '__init__'
  reads: str = ''

  @property
  def fields(self) -> set[str]:
    """The names in braces."""
    parts = string.Formatter().parse(self.command)
    return {field for _, field, _, _ in parts if field}


_TOOL = '{python} -m imagenet_val_tfrec'
CONVERTER = (
  _TOOL + '.images_to_tfrec --label_file {labels} --tfrec_dir {out} --image_dir'
)
ROWS = (
  Row(name='imports', command='{work} imports'),
  Row(name='cat', command='cat {tar} > {out}/copy'),
  Row(name='this builder', command='{work} this_builder {data} {out}'),
  Row(
    name='this builder, no sync',
    command='IMAGENET_VAL_TFREC_NO_SYNC=1 {work} this_builder {data} {out}',
  ),
  Row(
    name='this builder, folder', command='{work} this_builder {folder} {out}'
  ),
  Row(name='checks alone', command='{work} checks {tar}'),
  Row(name='stock, shuffled', command='{work} stock_shuffled {data} {out}'),
  Row(name='stock, keys 0 1 2', command='{work} stock_ordered {data} {out}'),
  Row(name='stock, spread keys', command='{work} stock_spread {data} {out}'),
  Row(name='imagenet2012', command='{work} imagenet2012 {data} {out}'),
  Row(name='old loop', command='{work} old_loop {images} {labels} {out}'),
  Row(
    name='untar, old loop', command='{work} untar_old_loop {tar} {labels} {out}'
  ),
  Row(name='webdataset', command='{peers} webdataset {images} {labels} {out}'),
  Row(name='mosaic', command='{peers} mosaic {images} {labels} {out}'),
  Row(name='litdata', command='{peers} litdata {images} {labels} {out}'),
  Row(name='arrow', command='{peers} arrow {images} {labels} {out}'),
  Row(
    name='build',
    command=_TOOL + ' build --manual_dir {data} --data_dir {out}',
    module='commands/build',
  ),
  Row(
    name='tfds build',
    command='{python} -m tensorflow_datasets.scripts.cli.main build '
    '--imports imagenet_val_tfrec imagenet_val_tfrec --manual_dir {data} '
    '--data_dir {out}',
  ),
  Row(
    name='images_to_tfrec',
    command=CONVERTER + ' {tar}',
    module='images_to_tfrec',
  ),
  Row(
    name='images_to_tfrec, folder',
    command=CONVERTER + ' {images}',
    module='images_to_tfrec',
  ),
  Row(
    name='verify',
    command=_TOOL + ' verify {dataset}',
    module='__main__',
    reads='dataset',
  ),
  Row(
    name='verify --decode',
    command=_TOOL + ' verify --decode {dataset}',
    module='__main__',
    reads='dataset',
  ),
  Row(name='bare decoding', command='{work} decode {tar}', reads='tar'),
  Row(
    name='adopt',
    command=_TOOL + ' adopt {tfrec} --data_dir {out}',
    module='__main__',
  ),
  Row(
    name='legacy.adopt', command='{work} adopt {tfrec} {out}', module='legacy'
  ),
  Row(
    name='this builder, Beam', command='{work} this_builder_beam {data} {out}'
  ),
  Row(
    name='this builder, Beam, few',
    command='{work} this_builder_beam {few} {out}',
  ),
  Row(name='stock Beam, few', command='{work} stock_beam {few} {out}'),
)
BASES = ('imports', 'cat')  # What other rows are compared with.
