"""Plots by matplotlib: data in, a figure out."""
