"""Names of the tasks of networks and data."""

SINGLE, MULTI, REGRESSION = "single-label", "multi-label", "regression"
TASKS = {
    SINGLE: "one class per image: softmax, or one output for two classes",
    MULTI: "any number of labels per image: a sigmoid for each output",
    REGRESSION: "a number for each output",
}
AFFECT = "affect"
"""What checkpoints of Vitrine call the regression of valence and arousal."""
