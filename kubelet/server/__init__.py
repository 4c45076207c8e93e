"""The kubelet's HTTPS server: logs, exec, attach, port-forward, stats and health of this node's pods."""
