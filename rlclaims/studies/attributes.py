"""Studies as attributes of a claim's runs: `ppo.landscape`, `ppo.gradients(pairs=2**14)`."""

from collections.abc import Callable
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from rlclaims.claims.evidence import ClaimError
from rlclaims.studies.registry import Study
from rlclaims.text import describe

Q = TypeVar("Q")
P = ParamSpec("P")


class StudiedRuns(Protocol):
    """Runs that can be asked for a study."""

    def study_results(self, study: Study) -> Any:
        """Return what a study computed from the runs."""
        ...


class StudyAttribute(Generic[Q]):
    """A study without options, as an attribute of runs."""

    def __init__(self, study: Study, query: type[Q]) -> None:
        self.study = study
        self.query = query
        self.__doc__ = query.__doc__

    @overload
    def __get__(self, runs: None, owner: type) -> "StudyAttribute[Q]": ...
    @overload
    def __get__(self, runs: StudiedRuns, owner: type) -> Q: ...
    def __get__(self, runs: StudiedRuns | None, owner: type) -> "StudyAttribute[Q] | Q":
        if runs is None:
            return self
        results: Q = runs.study_results(self.study)
        return results


class StudyMethod(Generic[P, Q]):
    """A study with options, as a method of runs.

    Args:
        request: makes the study from the options that a claim gives.
        query: what the claim receives.
    """

    def __init__(self, request: Callable[P, Study], query: type[Q]) -> None:
        self.request = request
        self.query = query
        self.__doc__ = request.__doc__

    @overload
    def __get__(self, runs: None, owner: type) -> "StudyMethod[P, Q]": ...
    @overload
    def __get__(self, runs: StudiedRuns, owner: type) -> Callable[P, Q]: ...
    def __get__(self, runs: StudiedRuns | None, owner: type) -> "StudyMethod[P, Q] | Callable[P, Q]":
        if runs is None:
            return self

        def study(*args: P.args, **kwargs: P.kwargs) -> Q:
            results: Q = runs.study_results(self.request(*args, **kwargs))
            return results

        study.__doc__ = self.__doc__
        return study


def whole_number(study: str, pairs: object) -> int:
    """Return a number of pairs that a study was asked for with.

    Raises:
        ClaimError: it is not a whole number.
    """
    if type(pairs) is not int:
        raise ClaimError(f"{study}(pairs={describe(pairs)}): a whole number of pairs is needed.")
    return pairs
