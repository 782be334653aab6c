"""The kinds of runs, one in each file: what moves its numbers, how it is computed, written, read and drawn, and its run.

A new kind is a new file here, and the line in the grid (or in an experiment's own loop) that hands its jobs to the scheduler.
"""
