"""The ONNX session: the only place that touches onnxruntime, and where its errors become ours."""

from __future__ import annotations

import functools
import hashlib
import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from phasemesh.contract.errors import BundleError
from phasemesh.contract.observation import FloatArray
from phasemesh.contract.tensors import INPUTS, OUTPUTS, PolicyFault, PolicyInput, PolicyOutput, TensorSpec, is_finite

_INPUT_NAMES = tuple(spec.name for spec in INPUTS)
_OUTPUT_NAMES = tuple(spec.name for spec in OUTPUTS)
_LOG_FATAL_ONLY = 4
_WARM_UP_SIZES = ({"L": 1, "S": 2, "K": 1}, {"L": 5, "S": 3, "K": 2})
"""All sizes differ in the second, so that a graph that mixes them up or was traced for one shape is found at start."""


class _Runtime(msgspec.Struct, frozen=True):
    """The module onnxruntime and the exceptions that it raises, which share no base of their own."""

    module: Any
    errors: tuple[type[Exception], ...]


@functools.cache
def _runtime() -> _Runtime:
    """Import onnxruntime with its telemetry off: a box at the roadside must not phone home.

    Since 1.29 a plain import opens a database below the home folder and starts a thread.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime  # noqa: PLC0415 - the variable must stand before the import
    from onnxruntime.capi import onnxruntime_pybind11_state as state  # noqa: PLC0415 - likewise

    errors = (
        state.EPFail,
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoModel,
        state.NoSuchFile,
        state.NotImplemented,
        state.RuntimeException,
        RuntimeError,
        TypeError,
        ValueError,
    )
    return _Runtime(onnxruntime, errors)


class OnnxPolicy:
    """A `Policy` whose graph is an ONNX file; single-threaded, since a tick needs far less than one core.

    Args:
        source: Path of the ONNX file, or its bytes.
        max_lanes: Most lanes of an intersection that it was made for, None for any; a larger one gets a fault.
        max_stages: Likewise for stages.
        fixed_sizes: The sizes that the graph is bound to, by their letters; all others must be dynamic.
        site: The embedding that takes the place of the input `site`, None for the input itself.

    Raises:
        BundleError: The graph cannot be loaded, has other tensors than `INPUTS` and `OUTPUTS`, or fails a first run.
    """

    def __init__(
        self,
        source: Path | bytes,
        *,
        max_lanes: int | None = None,
        max_stages: int | None = None,
        fixed_sizes: Mapping[str, int] | None = None,
        site: Sequence[float] | None = None,
    ) -> None:
        fixed = dict(fixed_sizes or {})
        name = "the ONNX graph" if isinstance(source, bytes) else str(source)
        self._errors = _runtime().errors
        self._max_lanes, self._max_stages = max_lanes, max_stages
        self._site = {} if site is None else {"site": np.array(site, dtype=np.float32)}
        try:
            self._session = _open(source)
        except OSError as error:
            raise BundleError(f"{name}: cannot be read: {error.strerror}") from error
        except self._errors as error:
            raise BundleError(f"{name}: onnxruntime cannot load it: {_one_line(error)}") from error
        faults = _tensor_faults("input", _bound(INPUTS, fixed), self._session.get_inputs())
        faults += _tensor_faults("output", _bound(OUTPUTS, fixed), self._session.get_outputs())
        faults = faults or [fault for sizes in _WARM_UP_SIZES if (fault := self._warm_up({**sizes, **fixed}))]
        if faults:
            raise BundleError(f"{name}: {faults[0]}")

    def infer(self, inputs: PolicyInput) -> PolicyOutput | PolicyFault:
        """The outputs of the graph, or why there are none; a pure function of `inputs`, never raises at run time.

        No NaN and no infinity reaches the graph: onnxruntime takes them without a word, and a comparison in the graph
        can turn them into a stage like any other.
        """
        feed = _feed(inputs) | self._site
        try:
            return self._refusal(feed) or self._run(feed)
        except self._errors as error:
            return PolicyFault(f"onnxruntime: {_one_line(error)}")

    def _refusal(self, feed: Mapping[str, FloatArray]) -> PolicyFault | None:
        """Why the graph is not asked at all; all inputs are looked at as one array, which costs the least."""
        if _is_above(len(feed["lanes"]), self._max_lanes) or _is_above(len(feed["stage_state"]), self._max_stages):
            return self._too_large(feed)
        if np.isfinite(np.concatenate(tuple(feed.values()), axis=None)).all():
            return None
        broken = [name for name, array in feed.items() if not np.isfinite(array).all()]
        return PolicyFault(f"a number is not finite in the input {', '.join(broken)}")

    def _run(self, feed: Mapping[str, FloatArray]) -> PolicyOutput | PolicyFault:
        output = PolicyOutput(*self._session.run(_OUTPUT_NAMES, feed))
        return output if is_finite(output) else PolicyFault("the policy answered a number that is not finite")

    def _too_large(self, feed: Mapping[str, FloatArray]) -> PolicyFault:
        return PolicyFault(
            f"{len(feed['lanes'])} lanes and {len(feed['stage_state'])} stages are over the bundle's"
            f" max_lanes {self._max_lanes}, max_stages {self._max_stages}"
        )

    def _warm_up(self, sizes: dict[str, int]) -> str | None:
        """Why a first run at `sizes` does not give the tensors of the contract; the first runs also fill caches."""
        try:
            output = self._run(_feed(_neutral_input(sizes)))
        except self._errors as error:
            return f"fails at {sizes}: onnxruntime: {_one_line(error)}"
        if isinstance(output, PolicyFault):
            return f"fails at {sizes}: {output.reason}"
        for spec in OUTPUTS:
            if getattr(output, spec.name).shape != _shape(spec, sizes):
                return f"output {spec.name!r} has shape {getattr(output, spec.name).shape} at {sizes}"
        return None


OPEN_SESSIONS: weakref.WeakValueDictionary[bytes, Any] = weakref.WeakValueDictionary()
"""The sessions in use by the SHA-256 of their graph. They hold no state, so that all policies of one graph share one:
processes that are forked from one that has opened it share its two megabytes too."""


def _open(source: Path | bytes) -> Any:  # noqa: ANN401 - onnxruntime ships no types
    graph = source if isinstance(source, bytes) else source.read_bytes()
    digest = hashlib.sha256(graph).digest()
    session = OPEN_SESSIONS.get(digest)
    if session is None:
        session = OPEN_SESSIONS[digest] = _new_session(graph)
    return session


def _new_session(graph: bytes) -> Any:  # noqa: ANN401 - onnxruntime ships no types
    runtime = _runtime().module
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _LOG_FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    return runtime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _tensor_faults(kind: str, specs: Sequence[TensorSpec], found: Sequence[Any]) -> list[str]:
    names = [tensor.name for tensor in found]
    if names != [spec.name for spec in specs]:
        return [f"{kind}s are {', '.join(names)}; must be {', '.join(spec.name for spec in specs)}"]
    return [
        f"{kind} {spec.name!r} is {tensor.type} {tensor.shape}, must be tensor(float) {list(spec.shape)}"
        for spec, tensor in zip(specs, found, strict=True)
        if tensor.type != "tensor(float)" or not _fits(spec.shape, tensor.shape)
    ]


def _bound(specs: Sequence[TensorSpec], sizes: Mapping[str, int]) -> list[TensorSpec]:
    """`specs` with numbers in place of the letters that `sizes` fixes."""
    return [
        TensorSpec(spec.name, tuple(size if isinstance(size, int) else sizes.get(size, size) for size in spec.shape))
        for spec in specs
    ]


def _fits(wanted: Sequence[int | str], found: Sequence[int | str | None]) -> bool:
    """Whether numbers agree and letters are dynamic, under any name."""
    return len(wanted) == len(found) and all(
        size == other if isinstance(size, int) else not isinstance(other, int)
        for size, other in zip(wanted, found, strict=True)
    )


def _shape(spec: TensorSpec, sizes: dict[str, int]) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else sizes[size] for size in spec.shape)


def _neutral_input(sizes: dict[str, int]) -> PolicyInput:
    return PolicyInput(*(np.full(_shape(spec, sizes), 0.5, dtype=np.float32) for spec in INPUTS))


def _feed(inputs: PolicyInput) -> dict[str, FloatArray]:
    return {name: getattr(inputs, name) for name in _INPUT_NAMES}


def _is_above(size: int, limit: int | None) -> bool:
    return limit is not None and size > limit


def _one_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
