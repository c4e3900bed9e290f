"""The ONNX session: what it answers, what it refuses, and what it does to the process."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from policy_factories import GRAPH, make_input, shipped_graph

from phasemesh.contract.errors import BundleError
from phasemesh.contract.observation import lane_feature
from phasemesh.contract.tensors import INPUTS, OUTPUTS, PolicyFault, PolicyOutput
from phasemesh.controller.policy.bundle import find_bundle
from phasemesh.controller.policy.session import OPEN_SESSIONS, OnnxPolicy

QUIET_SCRIPT = """
import sys
from pathlib import Path
from phasemesh.controller.policy.session import OPEN_SESSIONS, OnnxPolicy
policy = OnnxPolicy(Path(sys.argv[1]))
print(len(list(Path("/proc/self/task").iterdir())), *sorted({"torch", "onnx"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def policy() -> OnnxPolicy:
    """The shipped rule max-pressure."""
    return OnnxPolicy(shipped_graph())


@pytest.mark.parametrize(("lanes", "stages", "neighbours"), [(1, 2, 1), (12, 4, 4), (3, 8, 2), (40, 16, 8)])
def test_one_graph_serves_intersections_of_any_shape(
    policy: OnnxPolicy, lanes: int, stages: int, neighbours: int
) -> None:
    """Outputs take the sizes of the input and are float32."""
    output = policy.infer(make_input(lanes, stages, neighbours))

    assert isinstance(output, PolicyOutput)
    assert (len(output.stage_logits), len(output.mask), len(output.mask_probability)) == (
        stages,
        neighbours,
        neighbours,
    )
    assert {getattr(output, spec.name).dtype for spec in OUTPUTS} == {np.dtype(np.float32)}


def test_a_policy_may_be_opened_from_a_path_or_from_bytes(policy: OnnxPolicy) -> None:
    """Both give the same numbers."""
    from_path = OnnxPolicy(find_bundle("max-pressure") / GRAPH)

    np.testing.assert_array_equal(
        from_path.infer(make_input()).stage_logits, policy.infer(make_input()).stage_logits, strict=True
    )


def test_policies_of_one_graph_share_a_session_as_long_as_one_lives(tmp_path: Path) -> None:
    """A hundred agents in a process load their graph once; what nobody uses is let go."""
    path = tmp_path / "other.onnx"
    path.write_bytes((find_bundle("approach-lost-time") / GRAPH).read_bytes())
    gc.collect()
    before = len(OPEN_SESSIONS)
    first, second = OnnxPolicy(path), OnnxPolicy(path.read_bytes())
    together = len(OPEN_SESSIONS)
    del first, second
    gc.collect()

    assert (together, len(OPEN_SESSIONS)) == (before + 1, before)


def test_the_same_input_gives_the_same_bits(policy: OnnxPolicy) -> None:
    """Inference is a pure function, whatever was asked in between."""
    first = policy.infer(make_input())
    policy.infer(make_input(seed=1))
    second = policy.infer(make_input())

    for spec in OUTPUTS:
        assert getattr(first, spec.name).tobytes() == getattr(second, spec.name).tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [spec.name for spec in INPUTS])
def test_no_input_that_is_not_finite_reaches_the_graph(policy: OnnxPolicy, name: str, value: float) -> None:
    """NaN and infinity in any input, whoever let them through, become a value that the agent can act on."""
    inputs = make_input()
    getattr(inputs, name).flat[-1] = value

    assert policy.infer(inputs) == PolicyFault(f"a number is not finite in the input {name}")


def test_an_answer_that_is_not_finite_is_a_fault(policy: OnnxPolicy) -> None:
    """Numbers that are finite and far too large overflow inside the graph."""
    inputs = make_input()
    inputs.lanes[:, lane_feature("queue")] = 3e38
    inputs.stage_lanes[:] = 10.0

    assert policy.infer(inputs) == PolicyFault("the policy answered a number that is not finite")


@pytest.mark.parametrize(
    "changes",
    [
        {"lanes": None},
        {"lanes": np.array(1.0, dtype=np.float32)},
        {"hidden": np.array(["a"] * 64)},
        {"site": np.array([None] * 8)},
        {"mask_noise": [[0.5], [0.5, 0.5]]},
    ],
)
def test_an_input_that_is_no_tensor_gives_a_fault(policy: OnnxPolicy, changes: dict[str, object]) -> None:
    """Whatever a caller does, a tick goes on."""
    assert isinstance(policy.infer(msgspec.structs.replace(make_input(), **changes)), PolicyFault)


@pytest.mark.parametrize(
    "changes",
    [
        {"lanes": np.zeros((12, 17), dtype=np.float32)},
        {"lanes": np.zeros((12, 18), dtype=np.float64)},
        {"lanes": np.zeros((11, 18), dtype=np.float32)},
        {"hidden": np.zeros(63, dtype=np.float32)},
        {"mask_noise": np.zeros(3, dtype=np.float32)},
    ],
)
def test_inputs_of_a_wrong_shape_or_type_give_a_fault(policy: OnnxPolicy, changes: dict[str, np.ndarray]) -> None:
    """Errors of onnxruntime at run time become one-line values."""
    found = policy.infer(msgspec.structs.replace(make_input(), **changes))

    assert isinstance(found, PolicyFault)
    assert found.reason.startswith("onnxruntime: ")
    assert "\n" not in found.reason


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (b"", "onnxruntime cannot load it"),
        (b"not a graph", "onnxruntime cannot load it"),
        (shipped_graph()[:-100], "onnxruntime cannot load it"),
        (shipped_graph().replace(b"Softmax", b"Softmix"), "onnxruntime cannot load it"),
        (shipped_graph().replace(b"stage_logits", b"stage_logitz"), "outputs are stage_logitz"),
        (shipped_graph().replace(b"mask_noise", b"mask_noisy"), "inputs are lanes, .*mask_noisy"),
    ],
)
def test_a_graph_that_cannot_be_used_is_refused_in_one_line(graph: bytes, reason: str) -> None:
    """Whatever class of error onnxruntime raises, the caller sees a BundleError."""
    with pytest.raises(BundleError, match=reason) as caught:
        OnnxPolicy(graph)

    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    """The message names the path."""
    with pytest.raises(BundleError, match=r"absent\.onnx"):
        OnnxPolicy(tmp_path / "absent.onnx")


def test_a_session_leaves_no_trace_and_starts_no_thread(tmp_path: Path) -> None:
    """Onnxruntime opens no database below the home folder, keeps to the main thread, and brings no torch or onnx."""
    environment = {**os.environ, "HOME": str(tmp_path), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    for name in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        environment.pop(name, None)

    found = subprocess.run(
        [sys.executable, "-c", QUIET_SCRIPT, str(find_bundle("max-pressure") / GRAPH)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert found.stdout.split() == ["1"]
    assert found.stderr == ""
    assert list(tmp_path.rglob("*")) == []
