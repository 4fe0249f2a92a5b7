"""The files for tools agree on versions, and ask for what one needs."""

import ast
import configparser

import making
import pytest
import yaml

SETUP = configparser.ConfigParser()
SETUP.read(making.ROOT / 'setup.cfg')


def from_yaml(name: str):
  """Returns what is in a YAML file of the project."""
  return yaml.safe_load((making.ROOT / name).read_text())


def test_nox_ci_and_setup_know_the_same_versions():
  nodes = ast.parse((making.ROOT / 'noxfile.py').read_text()).body
  lists = {
    node.targets[0].id: ast.literal_eval(node.value)
    for node in nodes
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
  }
  jobs = from_yaml('.github/workflows/ci.yml')['jobs']
  matrix = jobs['tests']['strategy']['matrix']
  assert matrix == {'python': lists['PYTHONS'], 'tfds': lists['TFDS']}
  assert lists['PYTHONS'] == [
    line.removeprefix('Programming Language :: Python :: ')
    for line in SETUP['metadata']['classifiers'].splitlines()
    if ':: Python :: 3.' in line
  ]
  needed = SETUP['options']['install_requires'].split()
  assert f'tensorflow-datasets>={lists["TFDS"][0]}' in needed
  assert f'python_requires = >={lists["PYTHONS"][0]}' in (
    (making.ROOT / 'setup.cfg').read_text()
  )


def test_there_is_one_version_of_ruff():
  (repository,) = from_yaml('.pre-commit-config.yaml')['repos']
  version = repository['rev'].removeprefix('v')
  extras = SETUP['options.extras_require']['test'].split()
  assert f'ruff=={version}' in extras


@pytest.mark.parametrize(
  ('name', 'asked'),
  [
    ('bug_report', ['Command or code', 'Message', 'Expected', 'Versions']),
    ('feature_request', ['Need', 'Command or code']),
  ],
)
def test_issue_forms_ask_for_what_one_needs(name, asked):
  form = from_yaml(f'.github/ISSUE_TEMPLATE/{name}.yml')
  assert {'name', 'description', 'body'} <= form.keys()
  assert [field['attributes']['label'] for field in form['body']] == asked
  assert all(field['validations']['required'] for field in form['body'])
