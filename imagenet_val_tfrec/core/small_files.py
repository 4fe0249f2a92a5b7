"""Small files, read and written whole: JSON, and lists of names."""

from __future__ import annotations

import json
import uuid
from typing import Any

from imagenet_val_tfrec.core import errors, object_store, storage

_MOST_BYTES = 16 << 20


def write_text(path: str, text: str) -> None:
  """Writes a file whole: under another name first, synced, then renamed."""
  if storage.is_remote(path):  # Which is whole, or not there.
    object_store.write(path, text.encode())
    return
  part = f'{path}.{uuid.uuid4().hex}.part'
  with open(part, 'w', encoding='utf-8') as file:
    file.write(text)
  storage.sync(part)
  storage.replace(part, path)


def read_text(path: str) -> str:
  """Returns the text of a file.

  Raises:
    errors.InputError: if it is too large to be one of these, or no text.
    OSError: if there is none, or it is not a regular file.
  """
  with storage.open_random(path) as reader:
    if reader.size > _MOST_BYTES:
      raise errors.InputError(
        f'{path}: {reader.size:,} bytes, expected at most {_MOST_BYTES:,}'
      )
    content = reader.read(reader.size, 0)
  try:
    return content.decode('utf-8')
  except UnicodeDecodeError as e:
    raise errors.InputError(f'{path}: damaged, it is not text: {e}') from e


def read_json(path: str) -> dict[str, Any]:
  """Returns the object in a JSON file.

  Raises:
    errors.InputError: if it holds none, or is as `read_text` says.
    OSError: as `read_text`.
  """
  text = read_text(path)
  try:
    content = json.loads(text)
  except (ValueError, RecursionError) as e:
    raise errors.InputError(f'{path}: damaged, it is not JSON: {e}') from e
  if not isinstance(content, dict):
    raise errors.InputError(f'{path}: damaged, expected a JSON object')
  return content
