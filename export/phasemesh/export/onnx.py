"""torch -> ONNX: one graph for every shape of intersection, without a trace of the machine that made it."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterable, Iterator

import onnx
import torch

from phasemesh.contract.errors import BundleError
from phasemesh.contract.tensors import INPUTS, OUTPUTS, TensorSpec
from phasemesh.trainer.actor import Network

OPSET = 20
_EXAMPLE_SIZES = {"L": 5, "S": 3, "K": 2}
"""Sizes of the traced example: all different and above 1, because the exporter bakes a size of 1 into the graph."""
_PATH_MARKERS = (b"/home/", b"/root/", b"/usr/", b"/opt/", b"site-packages")


def export_onnx(actor: Network, **fixed: int) -> bytes:
    """The ONNX graph of `actor` with the tensors of the contract; L, S and K stay dynamic but for those `fixed`.

    Raises:
        BundleError: The graph would carry absolute paths of this machine.
    """
    dimensions = {letter: torch.export.Dim(letter, min=1) for letter in _EXAMPLE_SIZES if letter not in fixed}
    with _quiet():
        program = torch.onnx.export(
            actor.eval(),
            tuple(torch.full(_example_shape(spec, fixed), 0.5) for spec in INPUTS),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=[spec.name for spec in INPUTS],
            output_names=[spec.name for spec in OUTPUTS],
            dynamic_shapes={spec.name: _dynamic_axes(spec, dimensions) for spec in INPUTS},
            verbose=False,
        )
    if program is None:
        raise BundleError("torch.onnx.export gave no graph")
    return _stripped(program.model_proto)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter of torch 2.13 without its remarks on torchvision, axis names and its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=DeprecationWarning)
            warnings.simplefilter("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", message="# The axis name", category=UserWarning)
            yield
    finally:
        logger.setLevel(level)


def _example_shape(spec: TensorSpec, fixed: dict[str, int]) -> tuple[int, ...]:
    sizes = {**_EXAMPLE_SIZES, **fixed}
    return tuple(size if isinstance(size, int) else sizes[size] for size in spec.shape)


def _dynamic_axes(spec: TensorSpec, dimensions: dict[str, torch.export.Dim]) -> dict[int, torch.export.Dim]:
    return {axis: dimensions[size] for axis, size in enumerate(spec.shape) if size in dimensions}


def _stripped(model: onnx.ModelProto) -> bytes:
    """`model` without documentation and metadata, which hold stack traces with absolute paths of source files."""
    model.ClearField("doc_string")
    model.ClearField("metadata_props")
    _strip(model.graph)
    for function in model.functions:
        _strip_all(function.node)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    refuse_paths(content)
    return content


def refuse_paths(graph: bytes) -> None:
    """Raise BundleError if the bytes of `graph` hold what looks like a path of this machine."""
    if found := [marker.decode() for marker in _PATH_MARKERS if marker in graph]:
        raise BundleError(f"the graph carries paths of this machine ({', '.join(found)})")


def _strip(graph: onnx.GraphProto) -> None:
    graph.ClearField("doc_string")
    graph.ClearField("metadata_props")
    _strip_all(graph.node)
    _strip_all(graph.initializer)
    _strip_all(graph.value_info)
    _strip_all(graph.input)
    _strip_all(graph.output)


def _strip_all(items: Iterable[onnx.NodeProto | onnx.TensorProto | onnx.ValueInfoProto]) -> None:
    for item in items:
        item.ClearField("doc_string")
        item.ClearField("metadata_props")
