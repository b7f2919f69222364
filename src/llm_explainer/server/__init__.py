"""A model as a service: below HTTP, one thread runs the texts of all who ask, side by side.

From the bottom up: ``requests`` (what is asked, and what comes back), ``ticket`` (from the model's
thread to whoever waits), ``scoring`` (how likely tokens were), ``running_text`` (one request on its
way), ``prefix_cache`` (what earlier prompts left), ``batch`` (the texts of one model), ``engine``
(the thread, its queue, its figures).
"""
