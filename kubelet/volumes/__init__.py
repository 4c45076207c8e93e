"""Volumes of pods, on the host's file system below <root-dir>/pods/<uid>/volumes, as upstream lays them out."""
