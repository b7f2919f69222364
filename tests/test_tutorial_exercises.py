"""The graded exercises: right answers pass, and wrong ones hear what is wrong with them.

mistakes_tutorial.txt has three answers to each that are wrong in ways of their own.
"""

from __future__ import annotations

import inspect
import sys
import types
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from llm_explainer.errors import ConfigError
from llm_explainer.tutorial.excerpts import find_source
from llm_explainer.tutorial.exercises.answers import AnswerError, give
from llm_explainer.tutorial.exercises.attempt import run_file, try_answer
from llm_explainer.tutorial.exercises.grading import grade_all
from llm_explainer.tutorial.exercises.hints import find_cause
from llm_explainer.tutorial.exercises.table import EXERCISES, Exercise, find_exercise
from llm_explainer.tutorial.exercises.template import write_template

MISTAKES = Path(__file__).with_name("mistakes_tutorial.txt")


def mistakes() -> list:
    lines = MISTAKES.read_text(encoding="utf-8").splitlines()
    found = []
    for head, old, new in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        name, cause = head.split()
        assert (old[:2], new[:2]) == ("- ", "+ ")
        found.append(pytest.param(name, cause, old[2:], new[2:], id=f"{name}-{cause}"))
    return found


def exercise_of(name: str) -> Exercise:
    return find_exercise(*map(int, name.split(".")))


def answer(exercise: Exercise, old: str = "", new: str = ""):
    """The real function, with a part of it replaced."""
    path, first, last = find_source(exercise.source)
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    text = "".join(lines[first - 1 : last])
    if old:
        doc = inspect.getsource(exercise.right_function()).rindex('"""')
        assert text[doc:].count(old) == 1, f"{old!r} is {text[doc:].count(old)} times in there"
        text = text[:doc] + text[doc:].replace(old, new)
    module = types.ModuleType("answer")
    module.__dict__.update(vars(sys.modules[exercise.right_function().__module__]))
    exec(compile(text, "answer", "exec"), module.__dict__)
    function = getattr(module, exercise.function)
    with np.errstate(all="ignore"):
        return [give(function, call) for call in exercise.make_calls()]


def test_there_are_enough_and_each_has_three_mistakes_of_different_kinds():
    kinds = defaultdict(list)
    for parameters in mistakes():
        kinds[parameters.values[0]].append(parameters.values[1])
    assert len(EXERCISES) >= 30
    assert kinds.keys() == {exercise.name for exercise in EXERCISES}
    assert all(len(set(causes)) == len(causes) == 3 for causes in kinds.values())


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_the_right_answer_passes_and_its_template_lacks_it(exercise):
    assert grade_all(answer(exercise), exercise).passed
    template = write_template(exercise.source, exercise.cut, exercise.task)
    namespace: dict = {}
    exec(compile(template, "template", "exec"), namespace)
    with pytest.raises(NotImplementedError, match="yours to write"):
        give(namespace[exercise.function], exercise.make_calls()[0])


@pytest.mark.parametrize(("name", "cause", "old", "new"), mistakes())
def test_a_wrong_answer_hears_its_cause(name, cause, old, new):
    exercise = exercise_of(name)
    result = grade_all(answer(exercise, old, new), exercise)
    assert not result.passed
    assert result.cause == cause, result


def test_wrong_entries_are_named_with_both_numbers_and_their_ratio():
    result = grade_all(
        answer(exercise_of("4.4"), "dscores @ keys * scale", "dscores @ keys"), exercise_of("4.4")
    )
    assert result.wrong == "dq"
    assert set(result.right) == {"scores", "weights", "y", "dk", "dv"}
    assert "the factor 1/sqrt(H) is missing" in result.hint
    assert all(entry.startswith("dq[") and entry.endswith("ratio 1.41") for entry in result.entries)
    assert len(result.entries) == 3


def test_causes_that_no_answer_above_has():
    right = np.arange(12.0).reshape(3, 4)
    assert find_cause(right.T, right)[0] == "transposed"
    assert find_cause(np.array(7.0), right)[0] == "axis"
    assert find_cause(2 * right[None, None], right.sum(0))[0] == "shape"
    assert find_cause(np.array(1.3), np.array(1.0))[0] == "term"  # any number is a multiple
    square = np.arange(9.0).reshape(3, 3) ** 2
    assert find_cause(square.T, square)[0] == "transposed"


def test_a_file_is_run_in_a_process_of_its_own(tmp_path):
    exercise, file = exercise_of("2.3"), tmp_path / "answer.py"
    source, first, last = find_source(exercise.source)
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    imports = "print('hello')\nimport numpy as np\nfrom llm_explainer.plain.layers import *\n"
    types_ = "from llm_explainer.plain.contract import *\nTree = Lookup = dict\n"
    file.write_text(imports + types_ + "".join(lines[first - 1 : last]), encoding="utf-8")
    assert grade_all(try_answer(exercise, file), exercise).passed
    file.write_text("import os\nos._exit(0)\n", encoding="utf-8")
    with pytest.raises(AnswerError, match="ended its process"):
        try_answer(exercise, file)
    file.write_text("while True:\n    pass\n", encoding="utf-8")
    with pytest.raises(AnswerError, match="a loop without an end"):
        try_answer(exercise, file, seconds=1.5)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x = (", r"is no Python: .* \(line 1\)"),
        ("y = 1", "has no function embedding"),
        ("def embedding(ids, p):\n    return q", r"NameError: .* \(line 2\)"),
        ("def embedding(ids, p):\n    return 1", "a result and its backward pass, not int"),
        ("def embedding(ids, p):\n    return 'a', None", "'a' where an array"),
        ("def embedding(ids, p):\n    return [[1], [1, 2]], None", "different lengths"),
        ("def embedding(ids, p):\n    return p['weight'][ids], lambda dy: dy", "a dict, not"),
    ],
)
def test_what_cannot_be_graded_is_said_in_a_line(text, what, tmp_path):
    file = tmp_path / "answer.py"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(AnswerError, match=what):
        run_file(exercise_of("2.3"), file)


def test_a_chapter_without_such_an_exercise_names_those_it_has():
    with pytest.raises(ConfigError, match=r"no graded exercise 9; it has 1 \(rms_norm"):
        find_exercise(11, 9)
