"""Figures: each drawn once, by a function on an Axes, for a page's SVG and for a PNG alike.

A file a subject: the images, the evidence of a plan, a training, the answers, several runs. Knows
nothing of pages, nor of how results were made.
"""
