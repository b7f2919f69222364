"""Where the time of a NumPy training step goes: which layer, and what kind of work."""

from llm_explainer.profiling.arrays import ELEMENTWISE, KINDS, PRODUCTS, TimedArray, timed_arrays
from llm_explainer.profiling.clock import Clock, Tally
from llm_explainer.profiling.peak import Peak, measure_peak
from llm_explainer.profiling.picture import draw_profile
from llm_explainer.profiling.step import LAYERS, PYTHON, Profile, profile_step, watch_step

__all__ = [
    "ELEMENTWISE",
    "KINDS",
    "LAYERS",
    "PRODUCTS",
    "PYTHON",
    "Clock",
    "Peak",
    "Profile",
    "Tally",
    "TimedArray",
    "draw_profile",
    "measure_peak",
    "profile_step",
    "timed_arrays",
    "watch_step",
]
