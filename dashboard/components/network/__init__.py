"""The parts of the tabs that look into a network: Layers, Filters, Inversion and Gaze."""
