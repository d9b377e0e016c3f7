import pytest
import torch

from rlclaims.agents.adam import Adam


@pytest.mark.parametrize("epsilon", [1e-8, 1e-5, 0.1])
def test_steps_are_those_of_torchs_adam(epsilon):
    generator = torch.Generator().manual_seed(0)
    start_SP = torch.randn(3, 7, generator=generator, dtype=torch.float64)
    ours, theirs = start_SP.clone().requires_grad_(), start_SP.clone().requires_grad_()
    adam, reference = Adam(ours, epsilon), torch.optim.Adam([theirs], eps=epsilon)
    for step in range(100):
        theirs.grad = torch.randn(3, 7, generator=generator, dtype=torch.float64) * 10.0 ** (step % 7 - 5)
        learning_rate = 0.01 * (1 - step / 100)
        reference.param_groups[0]["lr"] = learning_rate
        reference.step()
        adam.step(theirs.grad, learning_rate)
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


def test_selected_rows_have_separate_steps_and_moments():
    generator = torch.Generator().manual_seed(0)
    start_SP = torch.randn(3, 7, generator=generator, dtype=torch.float64)
    ours, theirs = start_SP.clone(), [row.clone().requires_grad_() for row in start_SP]
    adam, references = Adam(ours, 1e-8), [torch.optim.Adam([row], lr=0.01, eps=1e-8) for row in theirs]
    for which in ([2, 0], [0, 1, 2], [1], [2], [0, 1, 2]):  # the first two rows move before the last has moments
        gradient_SP = torch.randn(len(which), 7, generator=generator, dtype=torch.float64)
        those_parameters = ours[which]
        those = adam.select(which, those_parameters)
        those.step(gradient_SP, 0.01)
        adam.assign(which, those)
        ours[which] = those_parameters
        for i, gradient_P in zip(which, gradient_SP, strict=True):
            theirs[i].grad = gradient_P
            references[i].step()
    assert adam.steps_S.tolist() == [3, 3, 4]
    torch.testing.assert_close(ours, torch.stack(theirs).detach(), rtol=1e-12, atol=1e-14)


def test_adam_of_a_seed_is_bit_identical_in_any_company():
    generator = torch.Generator().manual_seed(0)
    # Rows of 23, so that a seed's last entries fall beyond the last full vector register when it stands last.
    start_SP, gradient_TSP = torch.randn(50, 23, generator=generator), torch.randn(20, 50, 23, generator=generator)
    together = start_SP.clone()
    adam = Adam(together, 1e-5)
    for gradient_SP in gradient_TSP:
        adam.step(gradient_SP, 3e-4)
    assert (together != start_SP).all()
    for i in range(50):
        alone = start_SP[[i]].clone()
        adam = Adam(alone, 1e-5)
        for gradient_SP in gradient_TSP:
            adam.step(gradient_SP[[i]], 3e-4)
        assert torch.equal(alone, together[[i]])
