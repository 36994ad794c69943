"""Loss curves: columns of points, down-sampling that keeps their shape, smoothing."""
