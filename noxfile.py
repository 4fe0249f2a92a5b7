"""Runs all checks, each in an environment of its own.

nox                      all that these Pythons can: lint, types, doctest, tests
nox -s lint types        some of them
nox -s tests-3.12        on one Python, with each TFDS
nox -s nightly           the tests, with tomorrow's TFDS
nox -s readers           docs/READERS.md, with all the libraries it names
nox -s tests -- -k tar   what follows `--` goes to pytest
"""

import nox

PYTHONS = ['3.10', '3.11', '3.12', '3.13']
TFDS = ['4.9.8', '4.9.9', '4.9.10']
READERS = ['datasets', 'jax', 'nvidia-dali-cuda120', 'timm', 'torchvision']

nox.options.default_venv_backend = 'uv|virtualenv'
nox.options.sessions = ['lint', 'types', 'doctest', 'tests']


@nox.session
def lint(session: nox.Session) -> None:
  """Checks the style of the code."""
  session.install('.[test]')
  session.run('ruff', 'check', '.')
  session.run('ruff', 'format', '--check', '.')


@nox.session
def types(session: nox.Session) -> None:
  """Checks the types."""
  session.install('.[test]')
  session.run('mypy')


@nox.session
def doctest(session: nox.Session) -> None:
  """Runs the examples in docstrings; `tests` does, too."""
  session.install('.[test]')
  session.run('pytest', 'tests/doctest_test.py', *session.posargs)


@nox.session(python=PYTHONS)
@nox.parametrize('tfds', TFDS)
def tests(session: nox.Session, tfds: str) -> None:
  """Runs the tests."""
  session.install('.[test]', f'tensorflow-datasets=={tfds}')
  session.run('pytest', *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
  """Runs the tests with TFDS as it is today."""
  session.install('.[test]')
  # Both are the package `tensorflow_datasets`.
  session.run('python', '-m', 'pip', 'uninstall', '-y', 'tensorflow-datasets')
  session.install('--pre', '--no-deps', 'tfds-nightly')
  session.run('pytest', *session.posargs)


@nox.session
def readers(session: nox.Session) -> None:
  """Runs the cells of READERS.md that need what the tests do not."""
  session.install('.[test]', *READERS)
  session.run('pytest', 'tests/readers_test.py', *session.posargs)
