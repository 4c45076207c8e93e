"""The narrow seam between the kubelet and whatever runs containers: a Protocol, its Docker form and a fake."""
