"""The two backends are one interface: names, signatures, parameters; and how one is chosen."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlx_twins import mlx_backend, mx, twins
from small_models import FAMILIES, SWITCHES, small_config

from llm_explainer import ModelConfig, backend, load_backend, numpy_backend
from llm_explainer.config import SIZES
from llm_explainer.errors import BackendUnavailable
from llm_explainer.tree import flatten

ROOT = Path(__file__).parents[1]
NUMPY_ONLY = {
    "astype",  # float64, for gradient checks
    "add_gradients",
    "backward_of",
    "convert",
    "hold_lengths",
    "rotate",
    "of",
    "update_slice",
    "value_and_slope",
    "write",
    "write_value",
    "write_value_and_slope",
}
"""How NumPy's layers work inside, where MLX derives gradients and schedules work on its own."""

each_switch = pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)


def signature(function: Any) -> list[tuple[str, Any, Any]]:
    """Return (name, kind, default) of each parameter; array types differ, so types do not count."""
    parameters = inspect.signature(function).parameters.values()
    return [(parameter.name, parameter.kind, parameter.default) for parameter in parameters]


def interface(export: Any) -> dict[str, Any]:
    """Return the functions that others call: a function itself, or what a class offers."""
    if not isinstance(export, type):
        return {"": export}
    methods = {
        name: method
        for name, method in inspect.getmembers(export, inspect.isfunction)
        if not name.startswith("_") and name not in NUMPY_ONLY
    }
    called = {"__call__": export.__call__} if "__call__" in dir(export) else {}
    return {"": export, **called, **methods}


def test_both_export_the_same_names() -> None:
    assert mlx_backend.__all__ == numpy_backend.__all__


@pytest.mark.parametrize("name", [n for n in numpy_backend.__all__ if n != "NAME"])
def test_both_have_the_same_signatures(name: str) -> None:
    numpy_export, mlx_export = getattr(numpy_backend, name), getattr(mlx_backend, name)
    assert isinstance(mlx_export, type) == isinstance(numpy_export, type)
    for method, function in interface(numpy_export).items():
        twin = getattr(mlx_export, method) if method else mlx_export
        if function is not numpy_backend.Module:
            assert signature(twin) == signature(function), f"{name}.{method}"


@each_switch
def test_parameters_are_equal_by_name_shape_and_value(changes: dict[str, Any]) -> None:
    config = small_config(**changes)
    for scheme in ("normal", "truncated_normal"):
        expected = flatten(numpy_backend.GPT(config, 3, scheme).parameters())
        actual = flatten(mlx_backend.GPT(config, 3, scheme).parameters())
        assert list(actual) == list(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(np.asarray(actual[name]), array, err_msg=name)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", SIZES)
def test_presets_have_the_same_shapes(size: str, family: str) -> None:
    """One layer of them: the others are like it."""
    config = ModelConfig.preset(size, family=family, n_layers=1, vocab_size=300)
    shapes = [
        {name: tuple(array.shape) for name, array in flatten(model.parameters()).items()}
        for model in (nn.GPT(config, 0, "zeros") for nn in (numpy_backend, mlx_backend))
    ]
    assert shapes[0] == shapes[1]


def test_update_takes_numpy_arrays_and_copies_them() -> None:
    model, twin = twins()
    before = model.final_norm.weight.copy()
    model.final_norm.weight += 1
    np.testing.assert_array_equal(np.asarray(twin.final_norm.weight), before)
    other = mlx_backend.GPT(twin.config)
    other.update(twin.parameters())
    other.final_norm.weight += 1
    np.testing.assert_array_equal(np.asarray(twin.final_norm.weight), before)


def test_update_refuses_what_does_not_fit() -> None:
    _, twin = twins()
    tree = twin.parameters()
    with pytest.raises(ValueError, match=r"final_norm.weight: \(3,\) does not fit \(8,\)"):
        twin.update({**tree, "final_norm": {"weight": np.ones(3), "bias": np.ones(8)}})
    del tree["final_norm"]
    with pytest.raises(KeyError, match=r"final_norm\.weight"):
        twin.update(tree)


# Choosing a backend


def test_each_name_loads_its_backend() -> None:
    assert load_backend("numpy") is numpy_backend
    assert load_backend("mlx") is mlx_backend
    with pytest.raises(BackendUnavailable, match="'torch'; choose one of auto, numpy, mlx"):
        load_backend("torch")


@pytest.mark.parametrize("has_gpu", [True, False])
def test_auto_takes_mlx_where_it_has_a_gpu(has_gpu: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mx, "is_available", lambda device: has_gpu and device == mx.gpu)
    assert load_backend("auto") is (mlx_backend if has_gpu else numpy_backend)


BROKEN = "libmlx.so: cannot open shared object file:\nNo such file or directory"


@pytest.mark.parametrize("error", [ImportError(BROKEN), OSError(BROKEN), RuntimeError(BROKEN)])
def test_a_broken_installation_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.import_module

    def import_module(name: str) -> Any:
        if name == "mlx.core":
            raise error
        return real(name)

    monkeypatch.setattr(backend.importlib, "import_module", import_module)
    with pytest.raises(
        BackendUnavailable, match=r"libmlx\.so.*install 'mlx'.*'mlx\[cpu\]'"
    ) as told:
        load_backend("mlx")
    assert "\n" not in str(told.value)
    assert load_backend("auto") is numpy_backend


@pytest.fixture
def without_library(tmp_path: Path) -> dict[str, str]:
    """An environment whose mlx is pip's bare one on Linux: importing it fails."""
    (tmp_path / "mlx").mkdir()
    (tmp_path / "mlx" / "__init__.py").write_text("")
    (tmp_path / "mlx" / "core.py").write_text(f"raise ImportError({BROKEN!r})")
    return {"PYTHONPATH": str(tmp_path), "PATH": "", "HOME": str(tmp_path)}


def test_a_command_without_mlx_says_what_to_install(
    without_library: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, ROOT / "train_pretrain.py", "--backend", "mlx", "--out", "run"]
    done = subprocess.run(command, env=without_library, cwd=tmp_path, capture_output=True)
    assert done.returncode == 2
    assert b"install 'mlx'" in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert not (tmp_path / "run").exists()


def test_help_waits_for_no_backend() -> None:
    code = (
        "import runpy, sys\n"
        "sys.argv = ['run_demo.py', 'generate', '--help']\n"
        "try: runpy.run_path('run_demo.py', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name.split('.')[0] == 'mlx' for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
    assert done.returncode == 0
    assert b"--backend" in done.stdout
