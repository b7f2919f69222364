r"""Formulas for a terminal: the LaTeX of the chapters as a line of letters and signs.

    \frac{Q K^\top}{\sqrt{H}}   ->   Q Kᵀ / √H

It is a small part of LaTeX, the one that the chapters use; a command that isn't known stays as it
is, so that nothing is lost.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\\[A-Za-z]+\*?|\\.|[{}^_]|\s+|.", re.DOTALL)

# fmt: off
_SIGNS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "varepsilon": "ε",
    "eta": "η", "theta": "θ", "lambda": "λ", "mu": "μ", "pi": "π", "rho": "ρ", "sigma": "σ",
    "tau": "τ", "phi": "φ", "varphi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω", "nu": "ν",
    "xi": "ξ", "zeta": "ζ", "kappa": "κ",
    "Delta": "Δ", "Sigma": "Σ", "Phi": "Φ", "Omega": "Ω", "Theta": "Θ", "Lambda": "Λ", "Pi": "Π",
    "nabla": "∇", "sum": "∑", "prod": "∏", "infty": "∞", "top": "⊤", "odot": "⊙",
    "cdot": "·", "times": "×", "pm": "±", "approx": "≈", "neq": "≠", "ne": "≠", "leq": "≤",
    "le": "≤", "geq": "≥", "ge": "≥", "ll": "≪", "gg": "≫", "in": "∈", "notin": "∉",
    "to": "→", "rightarrow": "→", "Rightarrow": "⇒", "leftarrow": "←", "mapsto": "↦", "circ": "∘",
    "cdots": "⋯", "ldots": "…", "dots": "…", "vdots": "⋮", "langle": "⟨", "rangle": "⟩",
    "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "mid": "|", "vert": "|",
    "lVert": "‖", "rVert": "‖", "Vert": "‖", "|": "‖", "propto": "∝", "equiv": "≡", "sim": "∼",
    "oplus": "⊕", "otimes": "⊗", "forall": "∀", "exists": "∃", "prime": "′", "ell": "ℓ",
    "quad": "   ", "qquad": "      ", ",": " ", ";": " ", ":": " ", " ": " ", "!": "",
    "\\": "\n", "{": "{", "}": "}", "%": "%", "_": "_", "#": "#", "&": "&", "$": "$",
}
# fmt: on
_NAMES = {"exp", "log", "ln", "max", "min", "tanh", "sin", "cos", "argmax", "softmax", "lim", "det"}
_PLAIN = {"mathrm", "text", "mathbf", "mathit", "operatorname", "textbf", "mathsf", "mathcal"}
_PLAIN |= {"mathbb", "boldsymbol", "textrm", "texttt", "tilde", "underbrace", "overline"}
_SILENT = {"left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr"}
_SILENT |= {"displaystyle", "limits", "nonumber", "biggl", "biggr"}
_ACCENTS = {"hat": "\u0302", "bar": "\u0304", "dot": "\u0307", "vec": "\u20d7"}
_UP = dict(zip("0123456789+-=()nijkTtxabcdlmr⊤′", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱʲᵏᵀᵗˣᵃᵇᶜᵈˡᵐʳᵀ′", strict=True))
_DOWN = dict(
    zip("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True)
)


def readable(formula: str) -> str:
    r"""Return a formula as text.

    >>> readable(r"P_j = \frac{e^{S_j}}{\sum_k e^{S_k}}")
    'Pⱼ = e^Sⱼ / (∑ₖ e^Sₖ)'
    >>> readable(r"\frac{\partial P_j}{\partial S}")
    '∂Pⱼ / ∂S'
    >>> readable(r"x_i^2 + \hat{v}"), readable(r"\sqrt{H + 1} \leq \mathrm{softmax}(Q K^\top)")
    ('xᵢ² + v̂', '√(H + 1) ≤ softmax(Q Kᵀ)')
    """
    text = _Reader(re.sub(r"\\(begin|end)\{[^}]*\}|&", " ", formula)).read()
    return "\n".join(" ".join(line.split()) for line in text.split("\n")).strip()


class _Reader:
    """Reads tokens from left to right."""

    def __init__(self, formula: str) -> None:
        self._tokens = _TOKEN.findall(formula)
        self._at = 0

    def read(self, end: str = "") -> str:
        """Return all up to a token that ends a group."""
        parts = []
        while self._at < len(self._tokens) and self._tokens[self._at] != end:
            parts.append(self._piece())
        self._at += 1
        return "".join(parts)

    def _piece(self) -> str:
        """Return the next token, or the group or command that it begins, as text."""
        if self._at >= len(self._tokens):
            return ""
        token = self._tokens[self._at]
        self._at += 1
        if token == "{":
            return self.read("}")
        if token in "^_":
            return _script(self._argument().strip(), token)
        if token.startswith("\\"):
            return self._command(token[1:].rstrip("*"))
        return " " if token.isspace() else token

    def _argument(self) -> str:
        while self._at < len(self._tokens) and self._tokens[self._at].isspace():
            self._at += 1
        return self._piece()

    def _command(self, name: str) -> str:
        if name == "partial":  # what it is the change of stands right beside it
            return f"∂{self._argument()}"
        if name in _SIGNS:
            return _SIGNS[name]
        if name in ("frac", "tfrac", "dfrac"):
            above, below = self._argument(), self._argument()
            return f"{_grouped(above)} / {_grouped(below)}"
        if name == "sqrt":
            return f"√{_grouped(self._argument())}"
        if name in _ACCENTS:
            return self._argument().strip() + _ACCENTS[name]
        if name in _PLAIN:
            return self._argument()
        if name in _NAMES:
            return name
        return "" if name in _SILENT else f"\\{name}"


def _script(text: str, kind: str) -> str:
    """Return what stands above or below the line, in small letters where there are any."""
    small = _UP if kind == "^" else _DOWN
    if text and all(letter in small for letter in text):
        return "".join(small[letter] for letter in text)
    return f"{kind}{_grouped(text)}" if len(text) > 1 else kind + text


def _grouped(text: str) -> str:
    """Return text in brackets, unless it holds together without them."""
    text = text.strip()
    return (
        text
        if re.fullmatch(r"[^\s+\-−/·]{0,3}|∂?\w+|\w*\^\w+|[^\s()]*\([^()]*\)", text)
        else f"({text})"
    )
