"""Loss curves: columns of points, down-sampling, smoothing.

May import `domain`.
"""
