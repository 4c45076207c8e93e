"""Values that all of the kubelet shares, without I/O.

runtime.py      what the kubelet asks of a container runtime (a Protocol), and the values that cross it
podspec.py      what a pod says: its containers, grace period, restart policy, QoS class
labels.py       the labels by which our containers are known; names.py: hostname, /etc/hosts and resolv.conf of a pod
images.py       images on the node and credentials to pull; imagenames.py: references and pull policy
backoff.py      waiting longer after each failure; expansion.py: $(VARIABLE) in commands and paths
"""
