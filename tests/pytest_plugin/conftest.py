"""Sessions of the plugin on a small task, with a store that they share."""

import pytest
from claim_text import CONFTEST, HEADER

# Sessions run in this process, and pytester makes it forget what they import: numpy and torch cannot be imported twice.


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture
def session(pytester, store):
    """Runs a pytest session on the given claims."""
    pytester.makeconftest(CONFTEST)

    def run(body, *options):
        pytester.makepyfile(test_claims=HEADER + body)
        return pytester.runpytest_inprocess(
            f"--claims-store={store}", "--claims-seeds=5", "--claims-no-figures", "-p", "no:cacheprovider", *options
        )

    return run


@pytest.fixture
def session_by_looks(pytester, tmp_path):
    """Runs a pytest session at the profile's own looks, on a store of its own."""
    pytester.makeconftest(CONFTEST)

    def run(body, *options):
        pytester.makepyfile(test_claims=HEADER + body)
        return pytester.runpytest_inprocess(
            f"--claims-store={tmp_path}", "--claims-no-figures", "-p", "no:cacheprovider", *options
        )

    return run
