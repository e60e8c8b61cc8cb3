"""Networks of Vitrine: one file each; the classifiers are listed in `classifiers`."""
