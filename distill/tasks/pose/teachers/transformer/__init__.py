"""The convolution + linear-attention pose transformer: a teacher that finds people as a set.

It teaches the same pose students as the Lightweight OpenPose network (docs/tasks-linear.md).
"""
