"""Log densities and KL of torch distributions, against scipy, enumeration, integrals and closed forms."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from scipy.special import betaln, expit, polygamma
from torch.distributions import (
    AffineTransform,
    Bernoulli,
    Beta,
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    TanhTransform,
    TransformedDistribution,
)

from rlclaims.adapters.actions import TorchActions

B, A, CHOICES = 7, 3, 4


@pytest.fixture
def draw():
    generator = torch.Generator().manual_seed(3)
    return lambda *shape: torch.randn(*shape, generator=generator)


def log_prob(output, action):
    (log_B,) = TorchActions(output).log_prob(action[None])
    assert log_B.dtype == torch.float64 and log_B.shape == (B,)
    return log_B.numpy()


def kl(one, two):
    (kl_B,) = TorchActions(one).kl(TorchActions(two))
    assert kl_B.dtype == torch.float64 and kl_B.shape == (B,)
    return kl_B.numpy()


def gaussian_kl(m, s, n, t):
    """Return KL(N(m, s) || N(n, t)), computed in extended precision."""
    m, s, n, t = (np.asarray(x).astype(np.longdouble) for x in (m, s, n, t))
    x = (s - t) / t
    return ((x * x + ((m - n) / t) ** 2) / 2 + x - np.log1p(x)).sum(-1).astype(float)


def whole(mean_BA, std):
    return Normal(mean_BA, std)


def independent(mean_BA, std):
    return Independent(Normal(mean_BA, std), 1)


def with_covariance(mean_BA, std):
    return MultivariateNormal(mean_BA, torch.diag_embed(torch.as_tensor(std).expand(B, A) ** 2))


def doubly_independent(mean_BA, std):
    return Independent(Independent(Normal(mean_BA[:, None], torch.as_tensor(std).expand(B, A)[:, None]), 1), 1)


@pytest.mark.parametrize("made", [whole, independent, with_covariance, doubly_independent])
@pytest.mark.parametrize("by_state", [False, True])
def test_gaussians_match_scipy_and_closed_form(draw, made, by_state):
    mean_BA, other_BA, action_BA = draw(B, A), draw(B, A), draw(B, A)
    std, other = (draw(B, A).exp() if by_state else draw(A).exp() for _ in range(2))
    expected_B = stats.norm.logpdf(action_BA, mean_BA, std).sum(-1)
    np.testing.assert_allclose(log_prob(made(mean_BA, std), action_BA), expected_B, rtol=1e-5)
    got_B = kl(made(mean_BA, std), made(other_BA, other))
    np.testing.assert_allclose(got_B, gaussian_kl(mean_BA, std, other_BA, other), rtol=1e-5)


def test_correlated_gaussian_matches_scipy_and_closed_form(draw):
    mean_BA, other_BA, action_BA = draw(B, A), draw(B, A), draw(B, A)
    one_BAA, two_BAA = ((x := draw(B, A, A)) @ x.mT + torch.eye(A) for _ in range(2))
    one, two = MultivariateNormal(mean_BA, one_BAA), MultivariateNormal(other_BA, two_BAA)
    logs, divergences = [], []
    for b in range(B):
        m, n, c, d = (x[b].double().numpy() for x in (mean_BA, other_BA, one_BAA, two_BAA))
        logs.append(stats.multivariate_normal.logpdf(action_BA[b].numpy(), m, c))
        inverse = np.linalg.inv(d)
        spread = np.trace(inverse @ c) - A + np.log(np.linalg.det(d) / np.linalg.det(c))
        divergences.append((spread + (n - m) @ inverse @ (n - m)) / 2)
    np.testing.assert_allclose(log_prob(one, action_BA), logs, rtol=1e-5)
    np.testing.assert_allclose(kl(one, two), divergences, rtol=1e-5)


@pytest.mark.parametrize("cache_size", [0, 1])
@pytest.mark.parametrize("inside", [False, True])
def test_squashed_gaussian_matches_change_of_variables(draw, cache_size, inside):
    mean_B, other_B, std_B, two_B = draw(B), draw(B), draw(B).exp() / 2, draw(B).exp() / 2

    def squashed(mean_B, std_B):
        normal = Normal(mean_B[:, None], std_B[:, None])
        transforms = [TanhTransform(cache_size=cache_size), AffineTransform(torch.tensor([1.0]), torch.tensor([2.0]))]
        if inside:
            return TransformedDistribution(Independent(normal, 1), transforms)
        return TransformedDistribution(normal, transforms)

    action_B1 = squashed(mean_B, std_B).sample()

    def log_density(a, mean, std):
        y = (a - 1) / 2
        x = (math.atanh(y) - mean) / std
        return -0.5 * (x * x + math.log(2 * math.pi)) - math.log(std) - math.log1p(-y * y) - math.log(2)

    expected = [log_density(*map(float, x)) for x in zip(action_B1[:, 0], mean_B, std_B, strict=True)]
    np.testing.assert_allclose(log_prob(squashed(mean_B, std_B), action_B1), expected, rtol=1e-4)

    def integrand(a, m, s, n, t):
        return math.exp(log_density(a, m, s)) * (log_density(a, m, s) - log_density(a, n, t))

    states = zip(mean_B.tolist(), std_B.tolist(), other_B.tolist(), two_B.tolist(), strict=True)
    integrals = [integrate.quad(integrand, -1 + 1e-12, 3 - 1e-12, args, limit=200)[0] for args in states]
    np.testing.assert_allclose(kl(squashed(mean_B, std_B), squashed(other_B, two_B)), integrals, rtol=1e-4)


@pytest.mark.parametrize("scale", [1.0, -2.5])
def test_squashed_action_rounded_to_1_keeps_its_ratio(scale):
    before_B = torch.linspace(9.02, 9.5, B).double()
    action_B1 = (scale * before_B.float().tanh())[:, None]
    assert (action_B1 == scale).all()
    old, new = ((6.0, 1.5), (6.3, 1.6))

    def squashed(mean, std):
        transforms = [TanhTransform(cache_size=1), AffineTransform(0.0, scale)]
        return TransformedDistribution(Normal(torch.full((B, 1), mean), std), transforms)

    got_B = log_prob(squashed(*new), action_B1) - log_prob(squashed(*old), action_B1)
    expected_B = stats.norm(*new).logpdf(before_B) - stats.norm(*old).logpdf(before_B)
    # Rounding to 1 in single precision implies an argument of at least 9.01.
    np.testing.assert_allclose(got_B, expected_B, rtol=0.25)
    assert got_B[0] == pytest.approx(expected_B[0], rel=0.01)


def test_betas_match_scipy_and_integral(draw):
    a_B1, b_B1, c_B1, d_B1 = (1.5 + draw(B, 1).abs() for _ in range(4))
    action_B1 = draw(B, 1).sigmoid()
    np.testing.assert_allclose(
        log_prob(Beta(a_B1, b_B1), action_B1), stats.beta.logpdf(action_B1, a_B1, b_B1)[:, 0], rtol=1e-5, atol=1e-6
    )

    def log_density(x, a, b):
        return (a - 1) * math.log(x) + (b - 1) * math.log1p(-x) - betaln(a, b)

    def integrand(x, a, b, c, d):
        return math.exp(log_density(x, a, b)) * (log_density(x, a, b) - log_density(x, c, d))

    states = zip(*(x_B1[:, 0].tolist() for x_B1 in (a_B1, b_B1, c_B1, d_B1)), strict=True)
    integrals = [integrate.quad(integrand, 0, 1, args)[0] for args in states]
    np.testing.assert_allclose(kl(Beta(a_B1, b_B1), Beta(c_B1, d_B1)), integrals, rtol=1e-5)


def probabilities(logits_BC):
    weights = np.exp(logits_BC.double().numpy())
    return weights / weights.sum(-1, keepdims=True)


@pytest.mark.parametrize("made", [lambda x: Categorical(logits=x), lambda x: Categorical(probs=x.softmax(-1))])
@pytest.mark.parametrize("in_a_column", [False, True])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_categoricals_match_scipy(draw, made, in_a_column, dtype):
    one_BC, two_BC = draw(B, CHOICES), draw(B, CHOICES)
    choice_B = torch.arange(B) % CHOICES
    p_BC, q_BC = probabilities(one_BC), probabilities(two_BC)
    action = (choice_B[:, None] if in_a_column else choice_B).to(dtype)
    np.testing.assert_allclose(log_prob(made(one_BC), action), np.log(p_BC[np.arange(B), choice_B]), rtol=1e-5)
    np.testing.assert_allclose(kl(made(one_BC), made(two_BC)), stats.entropy(p_BC, q_BC, axis=1), rtol=1e-5)


def test_one_hot_action_equals_its_index(draw):
    one_BC, two_BC = draw(B, CHOICES), draw(B, CHOICES)
    choice_B = torch.arange(B) % CHOICES
    p_BC, q_BC = probabilities(one_BC), probabilities(two_BC)
    row_BC = torch.nn.functional.one_hot(choice_B, CHOICES)
    got_B = log_prob(OneHotCategorical(logits=one_BC), row_BC)
    np.testing.assert_allclose(got_B, np.log(p_BC[np.arange(B), choice_B]), rtol=1e-5)
    got_B = kl(OneHotCategorical(logits=one_BC), OneHotCategorical(logits=two_BC))
    np.testing.assert_allclose(got_B, stats.entropy(p_BC, q_BC, axis=1), rtol=1e-5)


def test_masked_choices_do_not_contribute(draw):
    one_BC, two_BC = draw(B, CHOICES), draw(B, CHOICES)
    for masked_BC in (one_BC, two_BC):
        masked_BC[:, 1], masked_BC[:, 2] = -1e8, -math.inf
    left = [0, 3]
    expected_B = stats.entropy(probabilities(one_BC[:, left]), probabilities(two_BC[:, left]), axis=1)
    np.testing.assert_allclose(kl(Categorical(logits=one_BC), Categorical(logits=two_BC)), expected_B, rtol=1e-5)


@pytest.mark.parametrize("sequence", [list, tuple])
def test_several_categoricals_add_up(draw, sequence):
    sizes = (2, 3, 5)
    ones, twos = ([draw(B, n) for n in sizes] for _ in range(2))
    action_BA = torch.stack([torch.arange(B) % n for n in sizes], dim=1)
    logs = [
        [math.log(probabilities(part)[b, action_BA[b, i]]) for i, part in enumerate(ones)] for b in range(B)
    ]  # fmt: skip
    of_parts = [stats.entropy(probabilities(p), probabilities(q), axis=1) for p, q in zip(ones, twos, strict=True)]

    def output(parts):
        return sequence(Categorical(logits=part) for part in parts)

    np.testing.assert_allclose(log_prob(output(ones), action_BA), np.sum(logs, axis=1), rtol=1e-5)
    np.testing.assert_allclose(kl(output(ones), output(twos)), np.sum(of_parts, axis=0), rtol=1e-5)


@pytest.mark.parametrize("made", [lambda x: Bernoulli(logits=x), lambda x: Independent(Bernoulli(logits=x), 1)])
def test_bernoullis_match_enumeration(draw, made):
    one_BA, two_BA = draw(B, A), draw(B, A)
    action_BA = (draw(B, A) > 0).float()

    def probability(logit_A, bits):
        return math.prod(
            1 / (1 + math.exp(-x)) if bit else 1 / (1 + math.exp(x)) for x, bit in zip(logit_A, bits, strict=True)
        )

    logs = [math.log(probability(one_BA[b].tolist(), action_BA[b].tolist())) for b in range(B)]
    np.testing.assert_allclose(log_prob(made(one_BA), action_BA), logs, rtol=1e-5)
    expected = []
    for b in range(B):
        both = [[probability(x[b].tolist(), bits) for x in (one_BA, two_BA)] for bits in product((0, 1), repeat=A)]
        expected.append(math.fsum(p * math.log(p / q) for p, q in both))
    np.testing.assert_allclose(kl(made(one_BA), made(two_BA)), expected, rtol=1e-5)


def test_kl_of_nearly_certain_bernoullis_is_finite():
    # In double precision, a probability of sigmoid(40) is 1.
    p, q = (np.exp(-np.longdouble(logit)) for logit in (30, 40))  # probabilities of a zero, up to a factor of 1 + 1e-13
    expected = float(p * np.log(p / q) - (p - q))
    (got_1,) = TorchActions(Bernoulli(logits=torch.tensor([30.0]))).kl(
        TorchActions(Bernoulli(logits=torch.tensor([40.0])))
    )
    assert float(got_1) == pytest.approx(expected, rel=1e-6)


NEAR = 1e-6


@pytest.mark.parametrize("made", [whole, independent, with_covariance])
def test_kl_of_close_gaussians_is_accurate(draw, made):
    mean_BA, std_BA = draw(B, A), 0.5 + draw(B, A).abs()
    other_BA, two_BA = mean_BA * (1 + NEAR), std_BA * (1 + NEAR)
    expected_B = gaussian_kl(mean_BA, std_BA, other_BA, two_BA)
    assert (expected_B < 1e-10).all() and (expected_B > 1e-14).all()
    np.testing.assert_allclose(kl(made(mean_BA, std_BA), made(other_BA, two_BA)), expected_B, rtol=2e-3)


def test_kl_of_close_squashed_gaussians_is_accurate(draw):
    mean_BA, std_BA = draw(B, A), 0.5 + draw(B, A).abs()
    one, two = (
        TransformedDistribution(Normal(mean_BA * scale, std_BA * scale), [TanhTransform()]) for scale in (1, 1 + NEAR)
    )
    expected_B = gaussian_kl(mean_BA, std_BA, mean_BA * (1 + NEAR), std_BA * (1 + NEAR))
    np.testing.assert_allclose(kl(one, two), expected_B, rtol=2e-3)


def test_kl_of_close_categoricals_is_accurate(draw):
    logits_BC = draw(B, CHOICES)
    ones, twos = Categorical(logits=logits_BC), Categorical(logits=logits_BC * (1 + 3 * NEAR))
    log_p, log_q = (
        (x := output.logits.numpy().astype(np.longdouble)) - np.log(np.exp(x).sum(-1, keepdims=True))
        for output in (ones, twos)
    )
    expected_B = (np.exp(log_p) * (log_p - log_q)).sum(-1).astype(float)
    assert (expected_B < 1e-10).all() and (expected_B > 1e-14).all()
    np.testing.assert_allclose(kl(ones, twos), expected_B, rtol=1e-3)


def test_kl_of_close_bernoullis_and_betas_is_accurate(draw):
    # To second order, KL is half the Fisher information times the squared step; the third order is 1e-5 of that.
    one_B1 = draw(B, 1)
    two_B1 = one_B1 * (1 + 10 * NEAR)
    p_B, step_B = one_B1[:, 0].double().sigmoid().numpy(), (two_B1.double() - one_B1.double())[:, 0].numpy()
    got_B = kl(Bernoulli(logits=one_B1), Bernoulli(logits=two_B1))
    np.testing.assert_allclose(got_B, p_B * (1 - p_B) * step_B**2 / 2, rtol=1e-3)
    a_B1 = 1.5 + draw(B, 1).abs()
    c_B1 = a_B1 * (1 + 10 * NEAR)
    a_B, step_B = a_B1[:, 0].double().numpy(), (c_B1.double() - a_B1.double())[:, 0].numpy()
    information_B = polygamma(1, a_B) - polygamma(1, 2 * a_B)
    np.testing.assert_allclose(kl(Beta(a_B1, a_B1), Beta(c_B1, a_B1)), information_B * step_B**2 / 2, rtol=1e-3)


def test_kl_of_a_policy_from_itself_is_zero(draw):
    logits_BC = draw(B, CHOICES)
    for output in (Normal(logits_BC, 0.3), Categorical(logits=logits_BC), Bernoulli(logits=logits_BC)):
        assert (kl(output, output) == 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_actions_copies_the_distributions_tensors(draw, dtype):
    mean_BA, std_A, logits_BC, action_BA = (
        x.to(dtype) for x in (draw(B, A), draw(A).exp(), draw(B, CHOICES), draw(B, A))
    )
    covariance_AA = torch.eye(A, dtype=dtype)
    cases = [
        (Normal(mean_BA, std_A), action_BA),
        (Independent(Normal(mean_BA, std_A), 1), action_BA),
        (TransformedDistribution(Normal(mean_BA, std_A), [TanhTransform()]), action_BA.tanh()),
        (MultivariateNormal(mean_BA, scale_tril=covariance_AA), action_BA),
        ([Categorical(logits=logits_BC[:, :2]), Categorical(logits=logits_BC[:, 2:])], (action_BA[:, :2] > 0).long()),
        (Bernoulli(logits=mean_BA), (action_BA > 0).float()),
    ]
    copies = [TorchActions(output) for output, _ in cases]
    before = [one.log_prob(action[None]) for one, (_, action) in zip(copies, cases, strict=True)]
    for tensor in (mean_BA, std_A, logits_BC, covariance_AA):
        tensor.mul_(1.5)
    for one, (_, action), expected in zip(copies, cases, before, strict=True):
        assert torch.equal(one.log_prob(action[None]), expected)
        assert float(one.kl(one).abs().max()) == 0


def test_torch_actions_detaches_parameters(draw):
    log_std_A = torch.nn.Parameter(draw(A))
    output = TorchActions(Normal(draw(B, A) * log_std_A, log_std_A.exp()))
    assert not output.log_prob(draw(1, B, A)).requires_grad and not output.kl(output).requires_grad


@pytest.mark.parametrize("in_a_column", [False, True])
@pytest.mark.parametrize("output_in_a_column", [False, True])
def test_scalar_action_may_be_in_a_column(draw, in_a_column, output_in_a_column):
    mean_B, action_B = draw(B), draw(B)
    output = Normal(mean_B[:, None] if output_in_a_column else mean_B, 0.5)
    got_B = log_prob(output, action_B[:, None] if in_a_column else action_B)
    np.testing.assert_allclose(got_B, stats.norm.logpdf(action_B, mean_B, 0.5), rtol=1e-5)
    bits_B = (action_B > 0).float()
    output = Bernoulli(logits=mean_B[:, None] if output_in_a_column else mean_B)
    got_B = log_prob(output, bits_B[:, None] if in_a_column else bits_B)
    np.testing.assert_allclose(got_B, stats.bernoulli.logpmf(bits_B, expit(mean_B.numpy())), rtol=1e-5)


@pytest.mark.parametrize(
    ("output", "shape", "sentence"),
    [
        (lambda: Normal(torch.zeros(B, A), 1.0), (B,), r"actions of shape \(7, 3\), and the actions have shape \(7,"),
        (lambda: Normal(torch.zeros(B, A), 1.0), (B, 2), r"actions of shape \(7, 3\)"),
        (lambda: Normal(torch.zeros(A), 1.0), (B, A), r"actions of shape \(3,\)"),
        (lambda: Normal(torch.zeros(A, B), 1.0), (B, A), r"actions of shape \(3, 7\)"),
        (lambda: Categorical(logits=torch.zeros(B, 4)), (B, 2), r"actions of shape \(7,\)"),
        (lambda: Categorical(logits=torch.zeros(4)), (B,), r"actions of shape \(\)"),
        (lambda: Categorical(logits=torch.zeros(2, 4)), (B,), r"actions of shape \(2,\)"),
        (lambda: [Categorical(logits=torch.zeros(B, 4))] * 2, (B, 3), "is for 2 parts of an action"),
        (lambda: [Categorical(logits=torch.zeros(B, 4))] * B, (B,), "is for 7 parts of an action"),
        (lambda: [Normal(torch.zeros(B, 2), 1.0)] * 2, (B, 2), r"actions of shape \(7, 2\)"),
    ],
)
def test_log_prob_refuses_actions_of_wrong_shape(output, shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        TorchActions(output()).log_prob(torch.zeros(1, *shape))


@pytest.mark.parametrize(
    "output", [None, torch.zeros(B, A), (Normal(torch.zeros(B), 1.0), torch.zeros(B)), [], {"mean": 0}, "normal"]
)
def test_torch_actions_refuses_non_distributions(output):
    with pytest.raises(
        TypeError, match=r"^A policy must return a torch.distributions.Distribution, or a sequence of them, not"
    ):
        TorchActions(output)


def test_kl_names_distributions_without_known_kl():
    mixture = MixtureSameFamily(Categorical(logits=torch.zeros(B, 2)), Normal(torch.zeros(B, 2), 1.0))
    with pytest.raises(NotImplementedError, match="has no KL divergence from MixtureSameFamily to MixtureSameFamily"):
        TorchActions(mixture).kl(TorchActions(mixture))
    squashed = [
        TransformedDistribution(Normal(torch.zeros(B, A), 1.0), [AffineTransform(0.0, scale)]) for scale in (1.0, 2.0)
    ]
    with pytest.raises(
        NotImplementedError, match="has no KL divergence from TransformedDistribution to TransformedDistribution"
    ):
        TorchActions(squashed[0]).kl(TorchActions(squashed[1]))


def test_sample_draws_from_the_distributions():
    n = 40_000
    logits = torch.tensor([[0.0, 1.0, -1.0]]).expand(n, 3)
    state = torch.get_rng_state()
    torch.set_rng_state(torch.Generator().manual_seed(5).get_state())
    try:
        drawn_N2 = TorchActions([Categorical(logits=logits), Bernoulli(logits=torch.full((n,), 0.5))]).sample()
        normal_NA = TorchActions(Normal(torch.tensor([[1.0, -2.0]]).expand(n, 2), torch.tensor([0.5, 3.0]))).sample()
    finally:
        torch.set_rng_state(state)
    assert drawn_N2.shape == (n, 2) and normal_NA.shape == (n, 2)
    p = [math.exp(x) / (1 + math.e + 1 / math.e) for x in (0, 1, -1)]
    for choice in range(3):
        share = float((drawn_N2[:, 0] == choice).double().mean())
        assert share == pytest.approx(p[choice], abs=4 * math.sqrt(0.25 / n))
    assert float(drawn_N2[:, 1].double().mean()) == pytest.approx(1 / (1 + math.exp(-0.5)), abs=4 * 0.5 / math.sqrt(n))
    np.testing.assert_allclose(normal_NA.mean(0), [1, -2], atol=4 * 3 / math.sqrt(n))
    np.testing.assert_allclose(normal_NA.std(0), [0.5, 3.0], rtol=4 / math.sqrt(2 * n))
