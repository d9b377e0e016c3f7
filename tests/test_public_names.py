"""The public names of `import rlclaims`, independent of earlier imports."""

import pkgutil
from types import ModuleType

import pytest

import rlclaims
import rlclaims.pytest_plugin.session  # imports nearly all modules, which become attributes


@pytest.mark.parametrize("name", rlclaims.__all__)
def test_a_public_name_is_what_it_names_and_no_module(name):
    found = getattr(rlclaims, name)
    assert callable(found) and not isinstance(found, ModuleType)
    assert found.__name__ == name


def test_no_module_hides_a_public_name():
    # A module that is imported is set on its package, and is then found before the table of names is asked.
    assert not {module.name for module in pkgutil.iter_modules(rlclaims.__path__)} & set(rlclaims.__all__)


def test_all_public_names_have_a_home():
    assert set(rlclaims.__all__) == set(rlclaims._HOME) == set(dir(rlclaims))
