"""Inversion: pictures rebuilt from the output of a layer, by trained decoders or by optimization, measured
over depth."""
