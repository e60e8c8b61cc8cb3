"""Whether a map lies where people look: metrics, baselines, and the evaluation of networks that predict gaze
and of those that classify."""
