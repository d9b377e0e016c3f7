"""What training spends its time on, compiled by the machine's own C compiler: networks, Adam, running normalisation.

`kernels.c` is compiled once for each machine and kept in the user's cache folder. Where there is no compiler that can,
or RLCLAIMS_COMPILED is 0, torch and numpy do the same more slowly, and round otherwise: the same seed is then another
run, with a name of its own.
"""

import ctypes
import hashlib
import math
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

SOURCE = Path(__file__).with_name("kernels.c")
# No product may be fused with a sum but where it is written so; what errno and traps would be is nobody's concern.
FLAGS = (
    "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC",
)  # fmt: skip
ACTIVATIONS = ("tanh", "relu")
VECTOR = 16
"""What kept rows are padded to a multiple of."""
MAX_LAYERS = 16

Floats32 = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]
"""Of double precision as well, by what makes them."""
Long, Pointer, Float, Double = ctypes.c_long, ctypes.c_void_p, ctypes.c_float, ctypes.c_double


@cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or None where there are none."""
    compiler = _compiler()
    if _unwanted() or compiler is None:
        return None
    try:
        loaded = _loaded(compiler)
    except (OSError, subprocess.SubprocessError):
        return None
    network: list[Any] = [Long, Long, Long, Pointer, ctypes.c_int, Pointer, Long, Pointer, Long, Pointer, Pointer]
    loaded.rlclaims_forward.argtypes = network
    loaded.rlclaims_backward.argtypes = [*network, Pointer]
    loaded.rlclaims_log_ratio.argtypes = [*network[:9], Pointer, Long, Pointer, Long, *[Pointer] * 3]
    loaded.rlclaims_ratio_gradient.argtypes = [
        *network[:9], Pointer, Long, *[Pointer] * 4, Float, Float, Pointer,
    ]  # fmt: skip
    loaded.rlclaims_fit_values.argtypes = [
        Long, Long, Long, *network[2:5], Pointer, Long, *[Pointer] * 4, Float, *[Pointer] * 4, *[Float] * 5,
    ]  # fmt: skip
    loaded.rlclaims_log_prob.argtypes = [Long, Long, Long, Pointer, Pointer, Long, Pointer, Pointer]
    loaded.rlclaims_log_prob_backward.argtypes = [*loaded.rlclaims_log_prob.argtypes, Pointer, Pointer]
    loaded.rlclaims_adam.argtypes = [Long, Long, Pointer, Long, *[Pointer] * 5, *[Float] * 5]
    loaded.rlclaims_observe.argtypes = [Long, Long, Pointer, ctypes.c_int, *[Pointer] * 7]
    loaded.rlclaims_take.argtypes = [Long, Long, Long, Long, Pointer, Pointer, Pointer]
    loaded.rlclaims_advantages.argtypes = [Long, Long, Pointer, Pointer]
    loaded.rlclaims_scale_rewards.argtypes = [
        Long, Long, Pointer, Pointer, Double, ctypes.c_int, Double, Pointer, Pointer,
    ]  # fmt: skip
    for name in ("adam", "observe", "take", "advantages", "scale_rewards", "log_prob", "log_prob_backward"):
        getattr(loaded, f"rlclaims_{name}").restype = None
    return loaded


def missed() -> bool:
    """Whether there are no kernels though nobody has said that there be none."""
    return library() is None and not _unwanted()


def _unwanted() -> bool:
    return os.environ.get("RLCLAIMS_COMPILED") == "0"


def identity() -> str | None:
    """A digest of what computes, if it is compiled; a part of every run's name."""
    return _source_digest() if library() is not None else None


@cache
def _source_digest() -> str:
    return hashlib.sha256(SOURCE.read_bytes() + repr(FLAGS).encode()).hexdigest()


def _compiler() -> list[str] | None:
    """The command that compiles, with options of its own where CC has some ("ccache gcc"); None if there is none."""
    try:
        command = shlex.split(os.environ.get("CC") or "cc")
    except ValueError:  # a quotation that does not end
        return None
    return command if command and shutil.which(command[0]) else None


def _loaded(compiler: Sequence[str]) -> ctypes.CDLL:
    """The shared library for this machine, made if it is not there yet.

    Raises:
        OSError, subprocess.SubprocessError: it cannot be made.
    """
    # What the compiler knows of itself and of the processor: homes are shared by machines that differ.
    machine = subprocess.run(
        [*compiler, "-march=native", "-dM", "-E", "-xc", os.devnull], check=True, capture_output=True, timeout=60
    ).stdout
    name = f"kernels-{hashlib.sha256(machine + _source_digest().encode()).hexdigest()[:32]}"
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME", "")).expanduser()
        # One that is not absolute counts as none (XDG base directory specification).
        folder = (cache if cache.is_absolute() else Path("~/.cache").expanduser()) / "rlclaims"
        return ctypes.CDLL(str(_kept(folder, name) or _compiled(compiler, folder, name)))
    # No home, or one that cannot be written, is full, or is none to execute from: compiled anew by each process.
    except (OSError, RuntimeError, subprocess.CalledProcessError):
        with tempfile.TemporaryDirectory(prefix="rlclaims-") as own:  # what is loaded stays so
            return ctypes.CDLL(str(_compiled(compiler, Path(own), name)))


def _kept(folder: Path, name: str) -> Path | None:
    """What was compiled before, if it is whole: to load a part of a library can end the process."""
    for path in folder.glob(f"{name}-*.so"):
        if path.is_file() and path.name == _checked_name(name, path):
            return path
    return None


def _compiled(compiler: Sequence[str], folder: Path, name: str) -> Path:
    """The shared library, made in a folder.

    Raises:
        OSError, subprocess.SubprocessError: it cannot be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, path = tempfile.mkstemp(suffix=".so", prefix=".partial-", dir=folder)
    os.close(descriptor)
    partial = Path(path)
    try:
        command = [*compiler, *FLAGS, "-o", str(partial), str(SOURCE), "-lm"]
        subprocess.run(command, check=True, capture_output=True, timeout=300)
        return partial.replace(folder / _checked_name(name, partial))
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _checked_name(name: str, path: Path) -> str:
    return f"{name}-{hashlib.sha256(path.read_bytes()).hexdigest()[:32]}.so"


class Network:
    """The multilayer perceptrons of S seeds.

    Args:
        sizes: widths from input to output.
        activation: of the hidden layers, one of `ACTIVATIONS`.
    """

    def __init__(self, sizes: Sequence[int], activation: str) -> None:
        self._n_layers = len(sizes) - 1
        self._sizes = (Long * len(sizes))(*sizes)
        self._n_input, self._n_output = sizes[0], sizes[-1]
        self._n_hidden = sum(-(-n // VECTOR) * VECTOR for n in sizes[1:-1])
        self._n_parameters = sum((i + 1) * o for i, o in pairwise(sizes))
        self._activation = ACTIVATIONS.index(activation)

    def forward(self, theta_SP: Tensor, x_SBI: Tensor, *, keep: bool) -> tuple[Tensor, Tensor | None]:
        """Outputs (S, B, O), and with `keep` what `backward` needs of the hidden layers."""
        n_seeds, n_rows = len(theta_SP), x_SBI.shape[1]
        out_SBO = torch.empty(n_seeds, n_rows, self._n_output)
        hidden = torch.empty(n_seeds * n_rows * self._n_hidden) if keep else None
        kept = hidden.data_ptr() if hidden is not None else None
        _done(_kernels().rlclaims_forward(*self._arguments(theta_SP, x_SBI), out_SBO.data_ptr(), kept))
        return out_SBO, hidden

    def act(self, theta_SP: Floats32, x_SI: Floats32) -> Floats32:
        """Outputs (S, O) of one input (S, I) each."""
        n_seeds, x_SI = len(theta_SP), np.ascontiguousarray(x_SI, np.float32)
        out_SO = np.empty((n_seeds, self._n_output), np.float32)
        no_memory = _kernels().rlclaims_forward(
            n_seeds, 1, self._n_layers, self._sizes, self._activation, _at(theta_SP), theta_SP.shape[1],
            _at(x_SI), self._n_input, _at(out_SO), None,
        )  # fmt: skip
        _done(no_memory)
        return out_SO

    def backward(self, theta_SP: Tensor, x_SBI: Tensor, hidden: Tensor, gradient_SBO: Tensor) -> Tensor:
        """The parameters' gradient (S, P), from that of the outputs and what `forward` kept."""
        gradient_SP = torch.empty(len(theta_SP), self._n_parameters)
        gradient_SBO = gradient_SBO.contiguous()
        pointers = hidden.data_ptr(), gradient_SBO.data_ptr(), gradient_SP.data_ptr()
        _done(_kernels().rlclaims_backward(*self._arguments(theta_SP, x_SBI), *pointers))
        return gradient_SP

    def ratio_gradient(
        self,
        theta_SP: Tensor,
        pairs: tuple[Tensor, Tensor, Tensor, Tensor],
        bounds: tuple[float, float],
    ) -> Tensor:
        """The gradient (S, P) of PPO's clipped objective, negated, under Gaussian policies (`rlclaims.agents.ppo`).

        `pairs` are observations (S, B, O), actions (S, B, A), their old log densities and their weights, (S, B) each.
        """
        observation_SBO, action_SBA, old_SB = map(contiguous_rows, pairs[:3])
        (n_seeds, n_rows, n_action), advantage_SB = action_SBA.shape, pairs[3].contiguous()
        mean_SBA, ratio_SB = torch.empty(n_seeds, n_rows, n_action), torch.empty(n_seeds, n_rows)
        hidden, gradient_SP = torch.empty(n_seeds * n_rows * self._n_hidden), torch.empty(theta_SP.shape)
        known = *self._arguments(theta_SP, observation_SBO), action_SBA.data_ptr(), action_SBA.stride(0)
        kept = mean_SBA.data_ptr(), hidden.data_ptr(), ratio_SB.data_ptr()
        _done(_kernels().rlclaims_log_ratio(*known, old_SB.data_ptr(), old_SB.stride(0), *kept))
        ratio_SB.exp_()  # torch's, which has bits of its own
        _done(
            _kernels().rlclaims_ratio_gradient(*known, *kept, advantage_SB.data_ptr(), *bounds, gradient_SP.data_ptr())
        )
        return gradient_SP

    def fit_values(
        self,
        phi_SP: Tensor,
        pairs: tuple[Tensor, Tensor, Tensor],
        order_ST: npt.NDArray[np.int64],
        clip: float | None,
        steps: "AdamSteps",
    ) -> None:
        """A pass of value regression (`rlclaims.agents.agent.Agent.fit_values`): so many parts, so many steps.

        `pairs` are observations (S, T, O), their old values and their targets, (S, T) each.
        """
        observation_STO, old_ST, target_ST = (x.contiguous() for x in pairs)
        n_seeds, n_rows = order_ST.shape
        no_memory = _kernels().rlclaims_fit_values(
            n_seeds, n_rows, steps.size_SK.shape[1], self._n_layers, self._sizes, self._activation,
            phi_SP.data_ptr(), phi_SP.stride(0), observation_STO.data_ptr(), old_ST.data_ptr(), target_ST.data_ptr(),
            _at(order_ST), math.inf if clip is None else clip, *steps.arguments(),
        )  # fmt: skip
        _done(no_memory)

    def _arguments(self, theta_SP: Tensor, x_SBI: Tensor) -> tuple[object, ...]:
        sizes = len(theta_SP), x_SBI.shape[1], self._n_layers, self._sizes, self._activation
        return *sizes, theta_SP.data_ptr(), theta_SP.stride(0), x_SBI.data_ptr(), x_SBI.stride(0)


def contiguous_rows(x: Tensor) -> Tensor:
    """The same numbers, with what follows the first axis in one block, as the kernels read it."""
    expected = 1
    for size, stride in zip(reversed(x.shape[1:]), reversed(x.stride()[1:]), strict=True):
        if size != 1 and stride != expected:
            return x.contiguous()
        expected *= size
    return x


@dataclass(frozen=True)
class AdamSteps:
    """The next K steps of an Adam, which its moments move by."""

    mean_SP: Floats
    square_SP: Floats
    size_SK: Floats
    """Each step's rate, the first moment's bias corrected."""
    correction_SK: Floats
    """That of the second moment's root."""
    betas: tuple[float, float]
    epsilon: float

    def arguments(self) -> tuple[object, ...]:
        """As the kernels take them."""
        beta1, beta2 = self.betas
        arrays = self.mean_SP, self.square_SP, self.size_SK, self.correction_SK
        return *map(_at, arrays), beta1, 1 - beta1, beta2, 1 - beta2, self.epsilon


def adam(theta_SP: Tensor, gradient_SP: Tensor, step: AdamSteps) -> None:
    """Adam's step in place: both moments, and the parameters by each seed's factors (`rlclaims.agents.adam`)."""
    gradient_SP = gradient_SP.contiguous()
    pointers = theta_SP.data_ptr(), theta_SP.stride(0), gradient_SP.data_ptr()
    _kernels().rlclaims_adam(*theta_SP.shape, *pointers, *step.arguments())


def log_prob(mean_SBA: Tensor, log_std_S1A: Tensor, action_SBA: Tensor) -> Tensor:
    """Log densities (S, B) of actions that are normal about means (`rlclaims.update.DiagonalGaussian`)."""
    log_prob_SB = torch.empty(mean_SBA.shape[:2])
    log_std = log_std_S1A.data_ptr(), log_std_S1A.stride(0)
    pointers = mean_SBA.data_ptr(), *log_std, action_SBA.data_ptr(), log_prob_SB.data_ptr()
    _kernels().rlclaims_log_prob(*mean_SBA.shape, *pointers)
    return log_prob_SB


def log_prob_backward(
    mean_SBA: Tensor, log_std_S1A: Tensor, action_SBA: Tensor, gradient_SB: Tensor
) -> tuple[Tensor, Tensor]:
    """The gradients of means (S, B, A) and log standard deviations (S, 1, A), from that of the log densities."""
    gradient_SB = gradient_SB.contiguous()
    of_mean_SBA, of_log_std_S1A = torch.empty(mean_SBA.shape), torch.empty(log_std_S1A.shape)
    log_std, found = (
        (log_std_S1A.data_ptr(), log_std_S1A.stride(0)),
        (of_mean_SBA.data_ptr(), of_log_std_S1A.data_ptr()),
    )
    pointers = mean_SBA.data_ptr(), *log_std, action_SBA.data_ptr(), gradient_SB.data_ptr(), *found
    _kernels().rlclaims_log_prob_backward(*mean_SBA.shape, *pointers)
    return of_mean_SBA, of_log_std_S1A


def observe(
    observation_SO: Floats,
    which: npt.NDArray[np.int_] | None,
    statistics: tuple[Floats, Floats, Floats],
    enabled_S1: npt.NDArray[np.bool_],
    clip_S1: Floats,
    *,
    learning: bool,
) -> Floats32:
    """One observation of each of some seeds, normalised, and taken in before if `learning` (`ObservationNormalizer`).

    `statistics` are how often it was fed (S, 1), the means (S, O), and the sums of squares about these (S, O).
    """
    observation_SO = np.ascontiguousarray(observation_SO, np.float64)
    which = None if which is None else np.ascontiguousarray(which, np.int64)
    out_SO = np.empty(observation_SO.shape, np.float32)
    _kernels().rlclaims_observe(
        *observation_SO.shape, None if which is None else _at(which), learning, _at(observation_SO),
        *map(_at, statistics), _at(enabled_S1), _at(clip_S1), _at(out_SO),
    )  # fmt: skip
    return out_SO


def take(x: Tensor, index_SK: Tensor) -> Tensor:
    """Of (S, T, ...) float32 each seed's own rows, (S, K, ...), by index_SK int64."""
    x, index_SK = x.contiguous(), index_SK.contiguous()
    out = torch.empty((*index_SK.shape, *x.shape[2:]))
    sizes = *x.shape[:2], index_SK.shape[1], x.shape[2:].numel()
    _kernels().rlclaims_take(*sizes, x.data_ptr(), index_SK.data_ptr(), out.data_ptr())
    return out


def advantages(error_ST: Floats, keep_ST: Floats) -> Floats:
    """Sums of errors (S, T), each with what is kept of all later ones."""
    # A copy in the order of its rows, whatever the order that the errors came in.
    advantage_ST, keep_ST = np.array(error_ST, np.float64, order="C"), np.ascontiguousarray(keep_ST, np.float64)
    _kernels().rlclaims_advantages(*advantage_ST.shape, _at(advantage_ST), _at(keep_ST))
    return advantage_ST


def scale_rewards(
    reward_ST: Floats,
    done_ST: npt.NDArray[np.bool_],
    state_S4: Floats,
    gamma: float,
    clip: float,
    *,
    keeps_mean: bool,
) -> Floats64:
    """Scaled rewards (S, T) by a statistic (S, 4) that they move, in place (`RewardScaler`)."""
    reward_ST, done_ST = np.ascontiguousarray(reward_ST, np.float64), np.ascontiguousarray(done_ST)
    scaled_ST = np.empty(reward_ST.shape)
    pointers = _at(state_S4), _at(scaled_ST)
    sizes = reward_ST.shape
    _kernels().rlclaims_scale_rewards(*sizes, _at(reward_ST), _at(done_ST), gamma, keeps_mean, clip, *pointers)
    return scaled_ST


def _at(array: npt.NDArray[Any]) -> int:
    """Where an array's numbers lie."""
    if array.flags.writeable and array.flags.c_contiguous:  # a sixth of the time
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    address: int = array.__array_interface__["data"][0]
    return address


def _done(no_memory: int) -> None:
    if no_memory:
        raise MemoryError("There is no memory for the networks' inner layers.")


def _kernels() -> ctypes.CDLL:
    loaded = library()
    assert loaded is not None
    return loaded
