"""Graded exercises: write a function of ``plain/`` anew, and hear which number is wrong, and why.

table      the exercises: which function, what of it is cut out, on what it is tried
template   the file that a learner begins with
answers    what a function gives, number by number; and what is right, by central differences
attempt    a learner's file, run in a process of its own, with a limit
grading    the comparison
hints      the usual causes of a wrong array
"""
