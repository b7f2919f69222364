"""Softmax and the four activations: functions without parameters.

An activation bends single numbers, so its backward pass is one product: dx = dy · slope.

Explained in ``Tutorial/05 - FeedForwardNetwork.md``.
"""

import math

import numpy as np

from llm_explainer.plain.contract import Array, Function, Functions, Record, ignore


def softmax(scores: Array) -> Function:
    """exp(s) / sum(exp(s)) over the last axis (Goodfellow et al. 2016, section 6.2.2.3).

    Each row's maximum goes first, so that exp cannot overflow; the result is the same (section
    4.1). A score of -inf gets weight 0.

    >>> weights, backward = softmax(np.log([[1.0, 3.0]]))
    >>> weights
    array([[0.25, 0.75]])
    >>> backward(np.array([[1.0, 0.0]]))  # 0.25 · (1 - 0.25) and 0.75 · (0 - 0.25)
    array([[ 0.1875, -0.1875]])
    """
    exps = np.exp(scores - scores.max(-1, keepdims=True))  # (..., S)
    weights = exps / exps.sum(-1, keepdims=True)

    def backward(dweights: Array) -> Array:
        mean = (weights * dweights).sum(-1, keepdims=True)  # (..., 1), weighted by the weights
        dscores: Array = weights * (dweights - mean)  # what one gains, the others lose
        return dscores

    return weights, backward


def relu(x: Array) -> Function:
    """max(x, 0), with slope 0 at 0 (Glorot et al. 2011, section 3).

    >>> y, backward = relu(np.array([-2, 0, 3]))
    >>> y, backward(np.array([5, 5, 5]))
    (array([0, 0, 3]), array([0, 0, 5]))
    """
    return np.maximum(x, 0), lambda dy: dy * (x > 0)


def gelu(x: Array) -> Function:
    """0.5 x (1 + tanh u), u = sqrt(2/π) (x + 0.044715 x³) (Hendrycks and Gimpel 2016, section 2).

    It is x times the probability that a normal variable is below x, in GPT-2's approximation.

    >>> y, backward = gelu(np.array([-1.0, 0.0, 1.0]))
    >>> y.round(4)
    array([-0.1588,  0.    ,  0.8412])
    >>> backward(np.ones(3)).round(4)
    array([-0.083,  0.5  ,  1.083])
    """
    c = math.sqrt(2 / math.pi)
    tanh = np.tanh(c * (x + 0.044715 * x**3))
    du = c * (1 + 3 * 0.044715 * x**2)
    slope = 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh**2) * du  # tanh' = 1 - tanh²
    return 0.5 * x * (1 + tanh), lambda dy: dy * slope


def silu(x: Array) -> Function:
    """x · sigmoid(x), also called swish (Ramachandran et al. 2017, section 4).

    >>> y, backward = silu(np.array([-1.0, 0.0, 1.0]))
    >>> y.round(4)
    array([-0.2689,  0.    ,  0.7311])
    >>> backward(np.ones(3)).round(4)
    array([0.0723, 0.5   , 0.9277])
    """
    sigmoid = 0.5 * (1 + np.tanh(x / 2))  # 1 / (1 + exp(-x)), where exp could overflow
    slope = sigmoid + x * sigmoid * (1 - sigmoid)  # sigmoid' = sigmoid · (1 - sigmoid)
    return x * sigmoid, lambda dy: dy * slope


def swiglu(gate: Array, up: Array, record: Record = ignore) -> Functions:
    """silu(gate) · up: the gate says how much of ``up`` passes (Shazeer 2020, section 2).

    >>> y, backward = swiglu(np.array([0.0, 1.0]), np.array([3.0, 2.0]))
    >>> y.round(4)
    array([0.    , 1.4621])
    >>> dgate, dup = backward(np.ones(2))
    >>> dgate.round(4), dup.round(4)  # silu's slope at 0 is 1/2, so 3/2
    (array([1.5   , 1.8553]), array([0.    , 0.7311]))
    """
    activated, silu_backward = silu(gate)
    record("activated", activated)
    y = activated * up

    def backward(dy: Array, record: Record = ignore) -> tuple[Array, Array]:
        dup = dy * activated
        dactivated = dy * up
        record("activated", dactivated)
        return silu_backward(dactivated), dup

    return y, backward


ACTIVATIONS = {"relu": relu, "gelu": gelu, "silu": silu}
"""Those that bend one array; the fourth, swiglu, takes two."""
