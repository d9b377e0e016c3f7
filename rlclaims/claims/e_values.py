"""E-values: the evidence of one session's seeds against a sentence, at most 1 on average while it is as it ships."""

import math

import numpy as np

from rlclaims.claims.combination import Combination
from rlclaims.claims.comparison import Comparison
from rlclaims.claims.evidence import Evidence
from rlclaims.stats.detector import e_values_from_p, e_values_from_t
from rlclaims.stats.mean import StudentT
from rlclaims.stats.verdict import nearly_constant


def evidence_against(evidence: Evidence, *, true: bool = True) -> float | None:
    """Return the e-value against a sentence's being true, or against its being false.

    Of sentences that are all true, the mean of the e-values against each is one; of sentences of which one is true, it
    is the least of them.

    Args:
        evidence: what was judged, on all seeds at one look.
        true: whether the sentence ships as supported.

    Returns:
        None if a seed has no value that the method can take, or all are equal and so say nothing to it.
    """
    if isinstance(evidence, Combination):
        parts = [evidence_against(part, true=true) for part in evidence.parts]
        found = [part for part in parts if part is not None]
        return _together(found, every=(evidence.operator == "all") == true) if len(found) == len(parts) else None
    assert isinstance(evidence, Comparison)
    values = np.concatenate([np.asarray(group) for group in evidence.groups])
    if not np.isfinite(values).all() and not evidence.method.takes_any_value:
        return None
    if not (evidence.method.takes_any_value or isinstance(evidence.method, StudentT)) and _without_spread(evidence):
        return None
    lower, upper = evidence.region.lower, evidence.region.upper
    # Inside, the estimand is above the one end and below the other; outside it is beyond either.
    sides = [_beyond(evidence, end, above=(end == upper) == true) for end in (lower, upper) if math.isfinite(end)]
    return _together(sides, every=true)


def _together(e_values: list[float], *, every: bool) -> float:
    return float(np.mean(e_values)) if every else min(e_values)


def _beyond(evidence: Comparison, end: float, *, above: bool) -> float:
    """Return the e-value for an estimand above a number, or below it."""
    method, groups = evidence.method, tuple(np.asarray(group, dtype=float)[None, :] for group in evidence.groups)
    if isinstance(method, StudentT):
        (x_1N,) = groups
        n, off = x_1N.shape[1], (1 if above else -1) * (float(x_1N.mean()) - end)
        if not nearly_constant(x_1N)[0]:
            return float(e_values_from_t(off / (float(x_1N.std(ddof=1)) / math.sqrt(n)), n))
        # Equal seeds are off the bound as plainly as can be, unless by rounding alone: of a thing compared with itself.
        on_it = abs(off) <= max(1e-12 * max(abs(end), float(np.abs(x_1N).max())), 1e-100)
        return float(e_values_from_t(0.0 if on_it else math.copysign(math.inf, off), n))
    p = method.p_value(groups, end) if above else method.p_value_above(groups, end)
    return float(e_values_from_p(p)[0])


def _without_spread(evidence: Comparison) -> bool:
    return all(nearly_constant(np.asarray(group, dtype=float)[None, :])[0] for group in evidence.groups)
