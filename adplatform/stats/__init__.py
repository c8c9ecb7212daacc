"""Pure maths: off-policy estimators, intervals, sequential tests, calibration, drift, power."""
