"""Runs a model with ONNX Runtime, one input at a time where its batch is fixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from common.console import progress
from common.errors import UserError
from quantize.ptq.net import Net
from synthesize.read.onnx.model import load_proto


def run_model(path: Path, net: Net, inputs: np.ndarray) -> list[np.ndarray] | None:
    """Outputs of a model for many inputs.

    Args:
        path: the model.
        net: what was read of it; ``net.cut`` names the tensors in front of operations that are
            left to the application.
        inputs: as the model wants them, batch first.

    Returns:
        One array per output, [N, ...]; None when onnxruntime is not installed.

    Raises:
        UserError: ONNX Runtime cannot run the model.
    """
    try:
        import onnxruntime as runtime
    except ImportError:
        return None
    import onnx

    model = load_proto(path)
    for node in model.graph.node:  # it refuses names that stand for two, and needs none
        node.ClearField("name")
    names = [net.cut.get(name, name) for name, _ in net.outputs]
    known = {value.name for value in model.graph.output}
    for name in names:
        if name not in known:
            model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    try:
        session = _session(runtime, model.SerializeToString())
        feed = session.get_inputs()[0]
        batch = len(inputs) if not isinstance(feed.shape[0], int) else 1
        rows = [
            session.run(names, {feed.name: inputs[i : i + batch].astype(net.input_type)})
            for i in progress(range(0, len(inputs), batch), title="the model", unit="batch")
        ]
    except Exception as error:  # onnxruntime's own exceptions share no class
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise UserError(f"{path}: ONNX Runtime cannot run it ({reason})") from error
    return [np.concatenate([row[k] for row in rows]) for k in range(len(names))]


def _session(runtime: Any, content: bytes) -> Any:
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
