"""Where networks come from: one file for each kind of model, one entry each in `models.registry.SOURCES`."""
