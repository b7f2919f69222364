"""One page that shows everything a model does with one text, offline and without a build step.

    page = explore(model, tokenizer, "Once there was a shy fox")
    page.save("fox.html")      # one file; in a notebook, ``page`` shows itself

Read the files in this order:

    base85       bytes as text
    packing      arrays and facts as a few bytes
    content      what a page holds, by name
    words        tokens as a person can see them, and how their merges went
    formulas     how each result is made, and the line of ``plain/`` that makes it
    next_tokens  what may come next, and what the scores of that hang on
    backward     the way back, and what a step of training changes
    history      the same text at every state that a run has kept
    pair         two models side by side
    gathering    a trace as content
    largest      of a large model's products, the terms that count
    bundle       the scripts of ``page/`` as one
    html         the file

What the page does with it is in ``page/``: ES modules without dependencies, one view each.
"""

from llm_explainer.explorer.html import Page, explore

__all__ = ["Page", "explore"]
