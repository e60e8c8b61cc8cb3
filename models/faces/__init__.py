"""Faces in photos: detectors, boxes, and the crop that a network about faces gets. No torch."""
