"""Linear, embedding and the two norms: the layers that have parameters.

Explained in ``Tutorial/02 - Embeddings.md``.
"""

import numpy as np

from llm_explainer.plain.contract import Array, Layer, Lookup, rows
from llm_explainer.tree import Tree


def linear(x: Array, p: Tree) -> Layer:
    """y = x Wᵀ + b (Goodfellow et al. 2016, section 6.5.6, for the gradients of a product).

    >>> p = {"weight": np.array([[1, 2], [3, 4], [5, 6]]), "bias": np.array([10, 20, 30])}
    >>> y, backward = linear(np.array([[1, -1]]), p)
    >>> y
    array([[ 9, 19, 29]])
    >>> dx, grads = backward(np.array([[1, 0, 2]]))
    >>> dx  # 1 · the first row of W + 2 · the last one
    array([[11, 14]])
    >>> grads["weight"]  # dy times x
    array([[ 1, -1],
           [ 0,  0],
           [ 2, -2]])
    >>> grads["bias"]
    array([1, 0, 2])
    """
    y = x @ p["weight"].T  # (..., I) @ (I, O) -> (..., O)
    if "bias" in p:
        y = y + p["bias"]  # (O,)

    def backward(dy: Array) -> tuple[Array, Tree]:
        grads = {"weight": rows(dy).T @ rows(x)}  # (O, B·T) @ (B·T, I) -> (O, I)
        if "bias" in p:
            grads["bias"] = rows(dy).sum(0)  # (O,): b reached every row, so sum over rows
        return dy @ p["weight"], grads  # (..., O) @ (O, I) -> (..., I)

    return y, backward


def embedding(ids: Array, p: Tree) -> Lookup:
    """Row ids of a table (Bengio et al. 2003, section 2): ids (...) -> (..., D).

    >>> y, backward = embedding(np.array([2, 0, 2]), {"weight": np.array([[1, 1], [5, 5], [7, 8]])})
    >>> y
    array([[7, 8],
           [1, 1],
           [7, 8]])
    >>> backward(np.array([[1, 10], [2, 20], [4, 40]]))["weight"]  # id 2 came twice, id 1 never
    array([[ 2, 20],
           [ 0,  0],
           [ 5, 50]])
    """
    x = p["weight"][ids]  # (..., D)

    def backward(dx: Array) -> Tree:
        dweight = np.zeros_like(p["weight"])  # (V, D)
        np.add.at(dweight, ids, dx)  # dweight[ids] += dx would keep one of two equal ids
        return {"weight": dweight}

    return x, backward


def layer_norm(x: Array, p: Tree, eps: float) -> Layer:
    """y = (x - mean) / sqrt(variance + eps) · w + b over channels (Ba et al. 2016, section 3).

    >>> p = {"weight": np.array([1.0, 1, 2, 1]), "bias": np.array([0.0, 0, 0, 9])}
    >>> y, backward = layer_norm(np.array([[1.0, 1, 3, 3]]), p, eps=0)  # mean 2, variance 1
    >>> y
    array([[-1., -1.,  2., 10.]])
    >>> dx, grads = backward(np.array([[4.0, 0, 0, 0]]))
    >>> dx  # [4, 0, 0, 0] less their mean 1, less x_hat times -1
    array([[ 2., -2.,  0.,  0.]])
    >>> grads["weight"], grads["bias"]
    (array([-4.,  0.,  0.,  0.]), array([4., 0., 0., 0.]))
    """
    std = np.sqrt(x.var(-1, keepdims=True) + eps)  # (..., 1)
    x_hat = (x - x.mean(-1, keepdims=True)) / std  # (..., D)
    y = x_hat * p["weight"]
    if "bias" in p:
        y = y + p["bias"]

    def backward(dy: Array) -> tuple[Array, Tree]:
        grads = {"weight": rows(dy * x_hat).sum(0)}  # (D,)
        if "bias" in p:
            grads["bias"] = rows(dy).sum(0)  # (D,)
        dx_hat = dy * p["weight"]  # (..., D)
        # Adding to all of x, or stretching it, does not move y: no gradient along 1 and x_hat.
        along_ones = dx_hat.mean(-1, keepdims=True)  # (..., 1)
        along_x_hat = x_hat * (dx_hat * x_hat).mean(-1, keepdims=True)  # (..., D)
        return (dx_hat - along_ones - along_x_hat) / std, grads

    return y, backward


def rms_norm(x: Array, p: Tree, eps: float) -> Layer:
    """y = x / sqrt(mean(x²) + eps) · w over channels (Zhang and Sennrich 2019, section 4).

    >>> y, backward = rms_norm(np.array([[1.0, 7.0]]), {"weight": np.array([1.0, 2.0])}, eps=0)
    >>> y.round(3)  # the root of (1 + 49) / 2 is 5
    array([[0.2, 2.8]])
    >>> dx, grads = backward(np.array([[5.0, 0.0]]))
    >>> dx.round(3)  # ([5, 0] - x_hat · 0.5) / 5
    array([[ 0.98, -0.14]])
    >>> grads["weight"].round(3)
    array([1., 0.])
    """
    rms = np.sqrt((x * x).mean(-1, keepdims=True) + eps)  # (..., 1)
    x_hat = x / rms  # (..., D)
    y = x_hat * p["weight"]

    def backward(dy: Array) -> tuple[Array, Tree]:
        grads = {"weight": rows(dy * x_hat).sum(0)}  # (D,)
        dx_hat = dy * p["weight"]  # (..., D)
        # Stretching x does not move y: no gradient along x_hat.
        along_x_hat = x_hat * (dx_hat * x_hat).mean(-1, keepdims=True)  # (..., D)
        return (dx_hat - along_x_hat) / rms, grads

    return y, backward
