"""Volumes of pods.

manager.py      sets up and removes the volumes of a pod; mounts.py: what one container mounts of them
payload.py      files of configMap, secret, downwardAPI and projected volumes; tokens.py: service account tokens
atomic.py       writes them so that a reader sees all old or all new files
subpath.py      a part of a volume; hostpath.py: paths of the node; mounting.py: mount(2), and VolumeError
"""
