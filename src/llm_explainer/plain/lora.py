"""Low-rank adapters: a frozen linear layer, and the little that is learned beside it.

Explained in ``Tutorial/10 - FineTuning.md``.
"""

import numpy as np

from llm_explainer.plain.contract import Array, Layer, rows
from llm_explainer.plain.layers import linear
from llm_explainer.tree import Tree


def lora(x: Array, p: Tree, scale: float) -> Layer:
    """y = W x + b + s · B A x, of which A and B learn (Hu et al. 2021, section 4.1).

    A (r, I) reads r directions of x, B (O, r) says what each of them adds. B begins as zeros.

    >>> p = {"base": {"weight": np.eye(2)}, "lora_a": np.array([[1.0, 1.0]])}
    >>> p["lora_b"] = np.zeros((2, 1))
    >>> lora(np.array([[3, 4]]), p, scale=2)[0]
    array([[3., 4.]])
    >>> p["lora_b"][:] = [[1], [0]]
    >>> y, backward = lora(np.array([[3, 4]]), p, scale=2)
    >>> y  # A x is 7, so 14 are added to the first number
    array([[17.,  4.]])
    >>> dx, grads = backward(np.array([[1, 10]]))
    >>> dx  # 1 · the first row of W + s B A + 10 · the second
    array([[ 3., 12.]])
    >>> grads["lora_b"]  # dy times s A x
    array([[ 14.],
           [140.]])
    >>> grads["lora_a"]  # s Bᵀ dy is 2, times x
    array([[6., 8.]])
    """
    y, base_backward = linear(x, p["base"])
    u = x @ p["lora_a"].T  # (..., I) @ (I, r) -> (..., r)
    y = y + scale * u @ p["lora_b"].T  # (..., r) @ (r, O) -> (..., O)

    def backward(dy: Array) -> tuple[Array, Tree]:
        du = scale * dy @ p["lora_b"]  # (..., O) @ (O, r) -> (..., r)
        grads = {
            "lora_a": rows(du).T @ rows(x),  # (r, B·T) @ (B·T, I) -> (r, I)
            "lora_b": scale * rows(dy).T @ rows(u),  # (O, B·T) @ (B·T, r) -> (O, r)
        }
        return base_backward(dy)[0] + du @ p["lora_a"], grads

    return y, backward


def dora(x: Array, p: Tree, scale: float) -> Layer:
    """y = m / |V| · V x + b with V = W + s · B A, of which A, B and m learn: the length of each row
    apart from its direction (Liu et al. 2024, section 4.1).

    The lengths |V| count as constant in the gradient, which costs little in quality and saves much
    memory (section 4.3).

    >>> p = {"base": {"weight": np.array([[3.0, 4.0]])}, "magnitude": np.array([10.0])}
    >>> p |= {"lora_a": np.array([[1.0, 1.0]]), "lora_b": np.array([[0.0]])}
    >>> y, backward = dora(np.array([[1.0, 1.0]]), p, scale=1)
    >>> y  # W x is 7, the row's length 5, and it is to be 10
    array([[14.]])
    >>> dx, grads = backward(np.array([[5.0]]))
    >>> dx
    array([[30., 40.]])
    >>> grads["magnitude"], grads["lora_a"], grads["lora_b"]
    (array([7.]), array([[0., 0.]]), array([[20.]]))
    """
    v = p["base"]["weight"] + scale * p["lora_b"] @ p["lora_a"]  # (O, I)
    lengths = np.sqrt((v * v).sum(-1))  # (O,)
    gain = p["magnitude"] / lengths
    pre = x @ v.T  # (..., I) @ (I, O) -> (..., O)
    y = pre * gain + p["base"].get("bias", 0)

    def backward(dy: Array) -> tuple[Array, Tree]:
        dpre = dy * gain
        du = scale * dpre @ p["lora_b"]  # (..., r)
        grads = {
            "lora_a": rows(du).T @ rows(x),  # (r, I)
            "lora_b": scale * rows(dpre).T @ rows(x @ p["lora_a"].T),  # (O, r)
            "magnitude": rows(dy * pre).sum(0) / lengths,  # (O,)
        }
        return dpre @ v, grads

    return y, backward
