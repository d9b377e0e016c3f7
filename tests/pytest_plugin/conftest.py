"""Sessions of the plugin on a small task, with a shared store."""

import pytest
from claim_text import CONFTEST, HEADER

# Sessions run in this process, and pytester unloads what they import; numpy and torch cannot be imported twice.


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def session(pytester, store):
    """Return a function that runs a pytest session on the given claims."""
    pytester.makeconftest(CONFTEST)

    def run(body, *options):
        pytester.makepyfile(test_claims=HEADER + body)
        return pytester.runpytest_inprocess(
            f"--claims-store={store}", "--claims-seeds=5", "--claims-no-figures", "-p", "no:cacheprovider", *options
        )

    return run


@pytest.fixture
def session_by_looks(pytester, tmp_path):
    """Return a function that runs a pytest session at the looks of the profile, on a fresh store."""
    pytester.makeconftest(CONFTEST)

    def run(body, *options):
        pytester.makepyfile(test_claims=HEADER + body)
        return pytester.runpytest_inprocess(
            f"--claims-store={tmp_path}", "--claims-no-figures", "-p", "no:cacheprovider", *options
        )

    return run
