"""Drives a headless Chromium by its DevTools protocol, through a pipe.

https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator

NAMES = ('chromium', 'chromium-browser', 'google-chrome')
_FLAGS = (
  *('--headless', '--no-sandbox', '--disable-gpu', '--no-first-run'),
  *('--disable-background-networking', '--disable-component-update'),
  *('--disable-dev-shm-usage', '--disable-sync', '--remote-debugging-pipe'),
)


def find() -> str | None:
  """Returns the path of the program, if there is one."""
  return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
  """A page, and all that it asked for (URLs)."""

  def __init__(self, read: int, write: int):
    self._read, self._write = read, write
    self._buffer, self._number, self._session = b'', 0, None
    self.asked, self.faults = [], []
    target = self.call('Target.createTarget', url='about:blank')
    attached = self.call('Target.attachToTarget', **target, flatten=True)
    self._session = attached['sessionId']
    for domain in ('Page', 'Network', 'Runtime', 'Log'):
      self.call(f'{domain}.enable')

  def call(self, method: str, **parameters) -> dict:
    """Calls the browser, and waits for its answer."""
    self._number += 1
    message = {'id': self._number, 'method': method, 'params': parameters}
    if self._session:
      message['sessionId'] = self._session
    os.write(self._write, json.dumps(message).encode() + b'\0')
    while (answer := self._receive()).get('id') != self._number:
      pass
    if 'error' in answer:
      raise RuntimeError(f'{method}: {answer["error"]}')
    return answer['result']

  def _receive(self) -> dict:
    while b'\0' not in self._buffer:
      more = os.read(self._read, 1 << 20)
      if not more:
        raise RuntimeError('Chromium has ended')
      self._buffer += more
    message, _, self._buffer = self._buffer.partition(b'\0')
    found = json.loads(message)
    what = found.get('method')
    if what == 'Network.requestWillBeSent':
      self.asked.append(found['params']['request']['url'])
    elif what in ('Runtime.exceptionThrown', 'Log.entryAdded'):
      self.faults.append(found['params'])
    return found

  def open(self, path: pathlib.Path, width: int, scheme: str = 'light') -> None:
    """Loads a file in a window of this width, in pixels."""
    self.call(
      'Emulation.setDeviceMetricsOverride',
      **{'width': width, 'height': 800, 'deviceScaleFactor': 1},
      mobile=width < 600,
    )
    self.call(
      'Emulation.setEmulatedMedia',
      features=[{'name': 'prefers-color-scheme', 'value': scheme}],
    )
    self.call('Page.navigate', url=path.as_uri())
    while self._receive().get('method') != 'Page.loadEventFired':
      pass

  def run(self, script: str):
    """Returns what an expression in JavaScript gives."""
    found = self.call('Runtime.evaluate', expression=script, returnByValue=True)
    if 'exceptionDetails' in found:
      raise RuntimeError(found['exceptionDetails'])
    return found['result'].get('value')

  def type(self, text: str) -> None:
    """Types into what has the focus."""
    self.call('Input.insertText', text=text)

  def press(self, key: str) -> None:
    """Presses a key: Tab or Enter."""
    code, text = {'Tab': (9, ''), 'Enter': (13, '\r')}[key]
    common = {'key': key, 'code': key, 'windowsVirtualKeyCode': code}
    self.call('Input.dispatchKeyEvent', type='keyDown', text=text, **common)
    self.call('Input.dispatchKeyEvent', type='keyUp', **common)

  def screenshot(self, path: pathlib.Path, whole: bool = False) -> None:
    """Writes what one sees, or the whole page, as PNG."""
    found = self.call('Page.captureScreenshot', captureBeyondViewport=whole)
    path.write_bytes(base64.b64decode(found['data']))


@contextlib.contextmanager
def start() -> Iterator[Page]:
  """Starts the program, and ends it."""
  (its_read, write), (read, its_write) = _pipe(), _pipe()
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
    # It reads from 3 and writes to 4.
    process = subprocess.Popen(
      [
        *('bash', '-c', f'exec "$@" 3<&{its_read} 4>&{its_write}', '-'),
        *(find(), *_FLAGS, f'--user-data-dir={profile}', 'about:blank'),
      ],
      pass_fds=(its_read, its_write),
      stderr=subprocess.DEVNULL,
    )
    os.close(its_read)
    os.close(its_write)
    try:
      yield Page(read, write)
    finally:
      process.terminate()
      process.wait(10)
      os.close(write)
      os.close(read)


def _pipe() -> list[int]:
  """Makes a pipe that is neither 3 nor 4."""
  low = os.pipe()
  high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low]
  for end in low:
    os.close(end)
  return high
