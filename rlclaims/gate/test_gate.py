"""Claims about the updates of any algorithm, with bounds that the user chooses."""

from rlclaims import Runs, claim, family, source

GATE = source("the gate", "rlclaims")
FAMILY = family("the gate", size=5)
TRAININGS_WITHIN = 0.7
"""Share of training runs that must keep the constraint. Of ten runs, ten within it prove this and eight beyond it
refute it, for any distribution. A t test of the mean would not do: maxima under a constraint are skewed."""


@claim(
    "gate/mean-kl",
    GATE,
    says="An update keeps the policy within the bound on mean KL.",
    means="the mean KL(old || new) over the training batch, mean over training, is at most the bound: the mean over "
    "seeds",
    family=FAMILY,
)
def test_mean_kl(subject: Runs, bound: float) -> None:
    assert subject.kl_old_new.mean.training.overall() <= bound


@claim(
    "gate/constraint",
    GATE,
    says="No update leaves the trust region.",
    means="the largest mean KL(old || new) over the training batch of any update of a training is at most the bound in "
    "seven trainings of ten: the 70% quantile over seeds",
    family=FAMILY,
)
def test_constraint(subject: Runs, bound: float) -> None:
    assert subject.kl_old_new.mean.training.highest().quantile(TRAININGS_WITHIN) <= bound


@claim(
    "gate/exceedance",
    GATE,
    says="An update keeps the ratios within their range.",
    means="the share of the training batch's ratios off 1 - eps to 1 + eps, mean over training, is at most the bound: "
    "the mean over seeds",
    family=FAMILY,
)
def test_exceedance(subject: Runs, bound: float) -> None:
    assert subject.ratio.exceedance.training.overall() <= bound


@claim(
    "gate/held-out-agreement",
    GATE,
    says="An update moves the policy as far on fresh pairs as on those it learnt from.",
    means="the mean KL(old || new) on fresh pairs, mean over the updates that are measured on them, is at most the "
    "bound times that on the training batch of the same updates: the geometric mean over seeds of the ratio",
    family=FAMILY,
)
def test_held_out_agreement(subject: Runs, bound: float) -> None:
    mean = subject.kl_old_new.mean
    assert mean.held_out.overall() / mean.training.where(mean.held_out).overall() <= bound


@claim(
    "gate/surrogate-rises",
    GATE,
    says="An update raises the surrogate.",
    means="the mean of ratio times advantage over the training batch is higher after an update than before, mean over "
    "training: the mean over seeds of the difference is above 0",
    family=FAMILY,
)
def test_surrogate_rises(subject: Runs) -> None:
    assert subject.surrogate.new.training.overall() > subject.surrogate.old.training.overall()


def test_numbers_are_finite(subject: Runs) -> None:
    """Check that no seed failed, and that all measures of all updates are finite."""
    assert not subject.failures


def test_a_seed_reproduces(subject: Runs, differences_of_a_seed: list[str]) -> None:
    """Check that a seed that is trained again, alone, gives bit-identical numbers."""
    assert not differences_of_a_seed, f"{subject.name} trained again differs in {', '.join(differences_of_a_seed[:5])}"
