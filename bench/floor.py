"""Measure what Docker alone takes to start the same containers: no kubelet that uses it can be faster."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import docker

LABELS = {"mini-minishift.bench": "floor"}


def start_pods(count: int, sandbox: str, image: str) -> float:
    """Return the seconds to create and start ``count`` pods at a time: a sandbox and a container in its network."""
    client = docker.APIClient(num_pools=4 * count)

    def pod(_: int) -> None:
        outer = client.create_container(sandbox, labels=LABELS, host_config=client.create_host_config())
        client.start(outer)
        shared = client.create_host_config(network_mode=f"container:{outer['Id']}")
        client.start(client.create_container(image, labels=LABELS, host_config=shared))

    try:
        start = time.monotonic()
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(pod, range(count)))
        return time.monotonic() - start
    finally:
        for found in client.containers(all=True, filters={"label": "mini-minishift.bench=floor"}):
            client.remove_container(found["Id"], force=True)
        client.close()
