"""Small files, read and written whole: JSON, and lists of names."""

from __future__ import annotations

import json
import uuid
from typing import Any, TypeAlias

from imagenet_val_tfrec.core import errors, object_store, storage

Schema: TypeAlias = 'type | list[Schema] | dict[str, Schema]'

_MOST_BYTES = 16 << 20


def write_text(path: str, text: str) -> None:
  """Writes a file whole: under another name first, synced, then renamed."""
  if storage.is_remote(path):  # Which is whole, or not there.
    object_store.write(path, text.encode())
    return
  part = f'{path}.{uuid.uuid4().hex}.part'
  try:
    with open(part, 'w', encoding='utf-8') as file:
      file.write(text)
    storage.sync(part)
    storage.replace(part, path)
  except BaseException:
    storage.remove(part)
    raise


def read_text(path: str, most_bytes: int = _MOST_BYTES) -> str:
  """Returns the text of a file; FileError if it is larger, or no text."""
  with storage.open_random(path) as reader:
    if reader.size > most_bytes:
      raise errors.FileError(
        path, f'{reader.size:,} bytes, expected at most {most_bytes:,}'
      )
    content = reader.read(reader.size, 0)
  try:
    return content.decode('utf-8')
  except UnicodeDecodeError as e:
    raise errors.FileError(path, f'damaged, it is not text: {e}') from e


def read_json(
  path: str, schema: Schema | None = None, most_bytes: int = _MOST_BYTES
) -> dict[str, Any]:
  """Returns the object in a JSON file; FileError if it is not as expected.

  In a schema `{'files': [str], 'limit?': int}` stands for a list of strings,
  and a number that need not be there. Further values are passed over. Some 30
  times as much memory may be taken as `most_bytes`.
  """
  text = read_text(path, most_bytes)
  try:
    content: dict[str, Any] = json.loads(text, parse_constant=_refuse)
  except (ValueError, RecursionError) as e:
    raise errors.FileError(path, f'damaged, it is not JSON: {e}') from e
  try:
    _check('it', content, schema or {})
  except ValueError as e:
    raise errors.FileError(path, f'damaged: {e}') from e
  return content


def _refuse(constant: str) -> None:
  raise ValueError(f'{constant} is not a number')


def _check(where: str, value: Any, schema: Schema) -> None:
  """Raises ValueError if a value of JSON is not as the schema says."""
  kind: type = type(value)
  expected = schema if isinstance(schema, type) else type(schema)
  if kind is not expected:
    raise ValueError(
      f'{where} is of type {kind.__name__}, expected {expected.__name__}'
    )
  if isinstance(schema, list):
    for inner in value:
      _check(f'a value in {where}', inner, schema[0])
  elif isinstance(schema, dict):
    for key, inner_schema in schema.items():
      name = key.removesuffix('?')
      if name in value:
        _check(repr(name), value[name], inner_schema)
      elif name == key:
        raise ValueError(f'{where} has no {name!r}')
