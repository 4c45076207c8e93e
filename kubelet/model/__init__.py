"""Values and protocols that all of the kubelet shares, without I/O.

runtime.py      what the kubelet asks of a container runtime (a Protocol), and the values that cross it
streaming.py    what its server asks of a runtime: processes' streams, logs, usage
podspec.py      what a pod says: its containers, grace period, restart policy, QoS class
labels.py       the labels by which our containers are known; names.py: hostname, /etc/hosts and resolv.conf of a pod
images.py       image references, pull policy, credentials, and which images are on the node
backoff.py      waiting longer after each failure
"""
