"""Kernels for the most expensive parts of training: networks, Adam and running normalisation.

`kernels.c` is compiled once per machine, by its own C compiler, and kept in the user's cache folder. Without a working
compiler, or with RLCLAIMS_COMPILED=0, torch and numpy compute the same more slowly and with other rounding: the same
seed is then another run, with another digest.
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
# Products are fused with sums only where the source says so (fma); errno and floating-point traps are not used.
FLAGS = (
    "-O3", "-march=native", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC",
)  # fmt: skip
ACTIVATIONS = ("tanh", "relu")
VECTOR = 16
"""Rows of hidden layers are padded to a multiple of this number of floats."""
MAX_LAYERS = 16

Floats32 = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]
"""Arrays in single or double precision, depending on the function that returns them."""
Long = ctypes.c_long
Pointer = ctypes.c_void_p
Float = ctypes.c_float
Double = ctypes.c_double


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled kernels, or None if they are not available."""
    compiler = _compiler()
    if _disabled() or compiler is None:
        return None
    try:
        loaded = _load(compiler)
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


def unavailable() -> bool:
    """Return True if there are no kernels although RLCLAIMS_COMPILED does not disable them."""
    return library() is None and not _disabled()


def _disabled() -> bool:
    return os.environ.get("RLCLAIMS_COMPILED") == "0"


def identity() -> str | None:
    """Return a digest of the kernels' source and flags, part of every run's digest, or None without kernels."""
    return _source_digest() if library() is not None else None


@cache
def _source_digest() -> str:
    return hashlib.sha256(SOURCE.read_bytes() + repr(FLAGS).encode()).hexdigest()


def _compiler() -> list[str] | None:
    """Return the compiler's command, with arguments if CC has some ("ccache gcc"), or None if it is not found."""
    try:
        command = shlex.split(os.environ.get("CC") or "cc")
    except ValueError:  # an unclosed quotation
        return None
    return command if command and shutil.which(command[0]) else None


def _load(compiler: Sequence[str]) -> ctypes.CDLL:
    """Return the shared library for this machine, compiled if it is not in the cache.

    Raises:
        OSError, subprocess.SubprocessError: it cannot be compiled.
    """
    # The compiler's macros identify it and the processor: machines that differ may share a home folder.
    machine = subprocess.run(
        [*compiler, "-march=native", "-dM", "-E", "-xc", os.devnull], check=True, capture_output=True, timeout=60
    ).stdout
    name = f"kernels-{hashlib.sha256(machine + _source_digest().encode()).hexdigest()[:32]}"
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME", "")).expanduser()
        # A relative path is ignored (XDG base directory specification).
        folder = (cache if cache.is_absolute() else Path("~/.cache").expanduser()) / "rlclaims"
        return ctypes.CDLL(str(_cached(folder, name) or _compile(compiler, folder, name)))
    # No home folder, or one that is read-only, full or mounted noexec: each process compiles its own copy.
    except (OSError, RuntimeError, subprocess.CalledProcessError):
        with tempfile.TemporaryDirectory(prefix="rlclaims-") as temporary:  # a loaded library stays loaded
            return ctypes.CDLL(str(_compile(compiler, Path(temporary), name)))


def _cached(folder: Path, name: str) -> Path | None:
    """Return the cached library if it is intact: loading a truncated one can crash the process."""
    for path in folder.glob(f"{name}-*.so"):
        if path.is_file() and path.name == _checked_name(name, path):
            return path
    return None


def _compile(compiler: Sequence[str], folder: Path, name: str) -> Path:
    """Compile the shared library into a folder and return its path.

    Raises:
        OSError, subprocess.SubprocessError: compiling fails.
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
        activation: nonlinearity of the hidden layers, one of `ACTIVATIONS`.
    """

    def __init__(self, sizes: Sequence[int], activation: str) -> None:
        self._n_layers = len(sizes) - 1
        self._sizes = (Long * len(sizes))(*sizes)
        self._n_input, self._n_output = sizes[0], sizes[-1]
        self._n_hidden = sum(-(-n // VECTOR) * VECTOR for n in sizes[1:-1])
        self._n_parameters = sum((i + 1) * o for i, o in pairwise(sizes))
        self._activation = ACTIVATIONS.index(activation)

    def forward(self, theta_SP: Tensor, x_SBI: Tensor, *, keep: bool) -> tuple[Tensor, Tensor | None]:
        """Return outputs (S, B, O), and with `keep` the hidden layers that `backward` needs."""
        n_seeds, n_rows = len(theta_SP), x_SBI.shape[1]
        out_SBO = torch.empty(n_seeds, n_rows, self._n_output)
        hidden = torch.empty(n_seeds * n_rows * self._n_hidden) if keep else None
        kept = hidden.data_ptr() if hidden is not None else None
        _check_memory(_kernels().rlclaims_forward(*self._arguments(theta_SP, x_SBI), out_SBO.data_ptr(), kept))
        return out_SBO, hidden

    def act(self, theta_SP: Floats32, x_SI: Floats32) -> Floats32:
        """Return outputs (S, O) of one input (S, I) each."""
        n_seeds, x_SI = len(theta_SP), np.ascontiguousarray(x_SI, np.float32)
        out_SO = np.empty((n_seeds, self._n_output), np.float32)
        no_memory = _kernels().rlclaims_forward(
            n_seeds, 1, self._n_layers, self._sizes, self._activation, _address(theta_SP), theta_SP.shape[1],
            _address(x_SI), self._n_input, _address(out_SO), None,
        )  # fmt: skip
        _check_memory(no_memory)
        return out_SO

    def backward(self, theta_SP: Tensor, x_SBI: Tensor, hidden: Tensor, gradient_SBO: Tensor) -> Tensor:
        """Return the parameters' gradient (S, P), from that of the outputs and the hidden layers of `forward`."""
        gradient_SP = torch.empty(len(theta_SP), self._n_parameters)
        gradient_SBO = gradient_SBO.contiguous()
        pointers = hidden.data_ptr(), gradient_SBO.data_ptr(), gradient_SP.data_ptr()
        _check_memory(_kernels().rlclaims_backward(*self._arguments(theta_SP, x_SBI), *pointers))
        return gradient_SP

    def ratio_gradient(
        self,
        theta_SP: Tensor,
        pairs: tuple[Tensor, Tensor, Tensor, Tensor],
        bounds: tuple[float, float],
    ) -> Tensor:
        """Return the gradient (S, P) of PPO's loss, the negated clipped objective, under Gaussian policies.

        `pairs` are observations (S, B, O), actions (S, B, A), their old log densities and advantages, (S, B) each.
        """
        observation_SBO, action_SBA, old_SB = map(contiguous_rows, pairs[:3])
        (n_seeds, n_rows, n_action), advantage_SB = action_SBA.shape, pairs[3].contiguous()
        mean_SBA, ratio_SB = torch.empty(n_seeds, n_rows, n_action), torch.empty(n_seeds, n_rows)
        hidden, gradient_SP = torch.empty(n_seeds * n_rows * self._n_hidden), torch.empty(theta_SP.shape)
        known = *self._arguments(theta_SP, observation_SBO), action_SBA.data_ptr(), action_SBA.stride(0)
        kept = mean_SBA.data_ptr(), hidden.data_ptr(), ratio_SB.data_ptr()
        _check_memory(_kernels().rlclaims_log_ratio(*known, old_SB.data_ptr(), old_SB.stride(0), *kept))
        ratio_SB.exp_()  # in torch, whose exp rounds differently from the C library's
        _check_memory(
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
        """Run a pass of value regression (`rlclaims.agents.agent.Agent.fit_values`), one Adam step per minibatch.

        `pairs` are observations (S, T, O), their old values and their targets, (S, T) each.
        """
        observation_STO, old_ST, target_ST = (x.contiguous() for x in pairs)
        n_seeds, n_rows = order_ST.shape
        no_memory = _kernels().rlclaims_fit_values(
            n_seeds, n_rows, steps.size_SK.shape[1], self._n_layers, self._sizes, self._activation,
            phi_SP.data_ptr(), phi_SP.stride(0), observation_STO.data_ptr(), old_ST.data_ptr(), target_ST.data_ptr(),
            _address(order_ST), math.inf if clip is None else clip, *steps.arguments(),
        )  # fmt: skip
        _check_memory(no_memory)

    def _arguments(self, theta_SP: Tensor, x_SBI: Tensor) -> tuple[object, ...]:
        sizes = len(theta_SP), x_SBI.shape[1], self._n_layers, self._sizes, self._activation
        return *sizes, theta_SP.data_ptr(), theta_SP.stride(0), x_SBI.data_ptr(), x_SBI.stride(0)


def contiguous_rows(x: Tensor) -> Tensor:
    """Return the tensor with contiguous rows, as the kernels read it; copies it only if necessary."""
    expected = 1
    for size, stride in zip(reversed(x.shape[1:]), reversed(x.stride()[1:]), strict=True):
        if size != 1 and stride != expected:
            return x.contiguous()
        expected *= size
    return x


@dataclass(frozen=True)
class AdamSteps:
    """The factors of the next K steps of an Adam, and its moments, which the kernels update in place."""

    mean_SP: Floats
    square_SP: Floats
    size_SK: Floats
    """Each step's learning rate, corrected for the first moment's bias."""
    correction_SK: Floats
    """Each step's bias correction of the second moment's square root."""
    betas: tuple[float, float]
    epsilon: float

    def arguments(self) -> tuple[object, ...]:
        """Return the arguments that the kernels take."""
        beta1, beta2 = self.betas
        arrays = self.mean_SP, self.square_SP, self.size_SK, self.correction_SK
        return *map(_address, arrays), beta1, 1 - beta1, beta2, 1 - beta2, self.epsilon


def adam(theta_SP: Tensor, gradient_SP: Tensor, step: AdamSteps) -> None:
    """Take a step of Adam in place, on both moments and the parameters (`rlclaims.agents.adam`)."""
    gradient_SP = gradient_SP.contiguous()
    pointers = theta_SP.data_ptr(), theta_SP.stride(0), gradient_SP.data_ptr()
    _kernels().rlclaims_adam(*theta_SP.shape, *pointers, *step.arguments())


def log_prob(mean_SBA: Tensor, log_std_S1A: Tensor, action_SBA: Tensor) -> Tensor:
    """Return log densities (S, B) of normally distributed actions (`rlclaims.update.DiagonalGaussian`)."""
    log_prob_SB = torch.empty(mean_SBA.shape[:2])
    log_std = log_std_S1A.data_ptr(), log_std_S1A.stride(0)
    pointers = mean_SBA.data_ptr(), *log_std, action_SBA.data_ptr(), log_prob_SB.data_ptr()
    _kernels().rlclaims_log_prob(*mean_SBA.shape, *pointers)
    return log_prob_SB


def log_prob_backward(
    mean_SBA: Tensor, log_std_S1A: Tensor, action_SBA: Tensor, gradient_SB: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of means (S, B, A) and log standard deviations (S, 1, A), from that of the log densities."""
    gradient_SB = gradient_SB.contiguous()
    mean_gradient_SBA = torch.empty(mean_SBA.shape)
    log_std_gradient_S1A = torch.empty(log_std_S1A.shape)
    log_std = log_std_S1A.data_ptr(), log_std_S1A.stride(0)
    outputs = mean_gradient_SBA.data_ptr(), log_std_gradient_S1A.data_ptr()
    pointers = mean_SBA.data_ptr(), *log_std, action_SBA.data_ptr(), gradient_SB.data_ptr(), *outputs
    _kernels().rlclaims_log_prob_backward(*mean_SBA.shape, *pointers)
    return mean_gradient_SBA, log_std_gradient_S1A


def observe(
    observation_SO: Floats,
    which: npt.NDArray[np.int_] | None,
    statistics: tuple[Floats, Floats, Floats],
    enabled_S1: npt.NDArray[np.bool_],
    clip_S1: Floats,
    *,
    learning: bool,
) -> Floats32:
    """Normalise one observation per seed, after updating the statistics if `learning` (`ObservationNormalizer`).

    `statistics` are counts (S, 1), means (S, O), and sums of squared deviations from the means (S, O).
    """
    observation_SO = np.ascontiguousarray(observation_SO, np.float64)
    which = None if which is None else np.ascontiguousarray(which, np.int64)
    out_SO = np.empty(observation_SO.shape, np.float32)
    _kernels().rlclaims_observe(
        *observation_SO.shape, None if which is None else _address(which), learning, _address(observation_SO),
        *map(_address, statistics), _address(enabled_S1), _address(clip_S1), _address(out_SO),
    )  # fmt: skip
    return out_SO


def take(x: Tensor, index_SK: Tensor) -> Tensor:
    """Return rows (S, K, ...) of a float32 tensor (S, T, ...), by each seed's own int64 indices."""
    x, index_SK = x.contiguous(), index_SK.contiguous()
    out = torch.empty((*index_SK.shape, *x.shape[2:]))
    sizes = *x.shape[:2], index_SK.shape[1], x.shape[2:].numel()
    _kernels().rlclaims_take(*sizes, x.data_ptr(), index_SK.data_ptr(), out.data_ptr())
    return out


def advantages(error_ST: Floats, keep_ST: Floats) -> Floats:
    """Return sums of errors (S, T), each plus all later ones, discounted by products of `keep_ST`."""
    advantage_ST = np.array(error_ST, np.float64, order="C")  # a copy in C order, which the kernel overwrites
    keep_ST = np.ascontiguousarray(keep_ST, np.float64)
    _kernels().rlclaims_advantages(*advantage_ST.shape, _address(advantage_ST), _address(keep_ST))
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
    """Return scaled rewards (S, T), and update the statistic (S, 4) in place (`RewardScaler`)."""
    reward_ST = np.ascontiguousarray(reward_ST, np.float64)
    done_ST = np.ascontiguousarray(done_ST)
    scaled_ST = np.empty(reward_ST.shape)
    pointers = _address(state_S4), _address(scaled_ST)
    sizes = reward_ST.shape
    _kernels().rlclaims_scale_rewards(
        *sizes, _address(reward_ST), _address(done_ST), gamma, keeps_mean, clip, *pointers
    )
    return scaled_ST


def _address(array: npt.NDArray[Any]) -> int:
    """Return the memory address of an array's data."""
    if array.flags.writeable and array.flags.c_contiguous:  # six times faster
        return ctypes.addressof(ctypes.c_char.from_buffer(array))  # type: ignore[arg-type]
    address: int = array.__array_interface__["data"][0]
    return address


def _check_memory(no_memory: int) -> None:
    if no_memory:
        raise MemoryError(
            "Not enough memory for the networks' hidden layers; use smaller layers or fewer seeds in a process."
        )


def _kernels() -> ctypes.CDLL:
    loaded = library()
    assert loaded is not None
    return loaded
