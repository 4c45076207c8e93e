"""Where packets end: the rules seen from the packet's side."""

from __future__ import annotations

from unit.proxy.tracer import Kernel, Make

from proxy.ruletypes import Dnat

POD1, POD2, FAR_POD = "172.17.0.2", "172.17.0.3", "10.1.0.9"
CLIENT, NODE = "198.51.100.7", "10.0.2.15"
VIP = "172.30.1.1"

elsewhere = {"addresses": [FAR_POD], "nodeName": "node2"}


def test_cluster_ip(kernel: type[Kernel], service: Make, endpoint_slice: Make) -> None:
    k = kernel([service()], [endpoint_slice(POD1, POD2)])
    assert k.send("172.17.0.9", VIP, 80) == {f"{POD1}:8080", f"{POD2}:8080"}
    assert k.send("172.17.0.9", VIP, 81) == {"REJECT"}
    assert k.send("172.17.0.9", VIP, 80, "udp") == {"REJECT"}


def test_a_pod_that_meets_itself_is_masqueraded(kernel: type[Kernel], service: Make, endpoint_slice: Make) -> None:
    k = kernel([service()], [endpoint_slice(POD1, POD2)])
    assert k.send(POD1, VIP, 80) == {f"{POD1}:8080 masqueraded", f"{POD2}:8080"}


def test_who_is_not_a_pod_is_masqueraded_on_the_way_to_a_vip(
    kernel: type[Kernel], service: Make, endpoint_slice: Make
) -> None:
    k = kernel([service()], [endpoint_slice(POD1)])
    assert k.send(NODE, VIP, 80) == {f"{POD1}:8080 masqueraded"}
    assert k.send(CLIENT, VIP, 80) == {f"{POD1}:8080 masqueraded"}


def test_no_endpoints_rejects_everybody(kernel: type[Kernel], service: Make, endpoint_slice: Make) -> None:
    nodeport = service(type="NodePort", externalIPs=["192.0.2.7"], ports=[{"port": 80, "nodePort": 30080}])
    not_ready = {"addresses": [POD1], "conditions": {"ready": False}}
    for slices in ([], [endpoint_slice(not_ready)]):
        k = kernel([nodeport], slices)
        assert k.send("172.17.0.9", VIP, 80) == {"REJECT"}
        assert k.send(NODE, VIP, 80) == {"REJECT"}
        assert k.send(CLIENT, NODE, 30080) == {"REJECT"}
        assert k.send(NODE, NODE, 30080) == {"REJECT"}
        assert k.send(CLIENT, "192.0.2.7", 80) == {"REJECT"}


def test_node_port(kernel: type[Kernel], service: Make, endpoint_slice: Make) -> None:
    k = kernel([service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}])], [endpoint_slice(POD1)])
    for source, destination in [(CLIENT, NODE), (NODE, NODE), ("127.0.0.1", "127.0.0.1"), ("172.17.0.9", "172.17.0.1")]:
        assert k.send(source, destination, 30080) == {f"{POD1}:8080 masqueraded"}
    assert k.send(CLIENT, "192.0.2.9", 30080) == {"untouched"}  # a node port elsewhere is not ours
    assert k.send(CLIENT, NODE, 80) == {"untouched"}


def test_external_policy_local_keeps_the_clients_address_and_stays_here(
    kernel: type[Kernel], service: Make, endpoint_slice: Make
) -> None:
    nodeport = service(type="NodePort", externalTrafficPolicy="Local", ports=[{"port": 80, "nodePort": 30080}])
    k = kernel([nodeport], [endpoint_slice(POD1, elsewhere)])
    assert k.send(CLIENT, NODE, 30080) == {f"{POD1}:8080"}
    # The node itself and pods may be sent anywhere, as through the VIP.
    assert k.send(NODE, NODE, 30080) == {f"{POD1}:8080 masqueraded", f"{FAR_POD}:8080 masqueraded"}
    assert k.send("172.17.0.9", NODE, 30080) == {f"{POD1}:8080", f"{FAR_POD}:8080"}
    assert k.send("172.17.0.9", VIP, 80) == {f"{POD1}:8080", f"{FAR_POD}:8080"}


def test_external_policy_local_without_local_endpoints_drops(
    kernel: type[Kernel], service: Make, endpoint_slice: Make
) -> None:
    nodeport = service(type="NodePort", externalTrafficPolicy="Local", ports=[{"port": 80, "nodePort": 30080}])
    k = kernel([nodeport], [endpoint_slice(elsewhere)])
    assert k.send(CLIENT, NODE, 30080) == {"DROP"}
    assert k.send("172.17.0.9", VIP, 80) == {f"{FAR_POD}:8080"}


def test_internal_policy_local(kernel: type[Kernel], service: Make, endpoint_slice: Make) -> None:
    local = service(internalTrafficPolicy="Local")
    assert kernel([local], [endpoint_slice(POD1, elsewhere)]).send(POD2, VIP, 80) == {f"{POD1}:8080"}
    assert kernel([local], [endpoint_slice(elsewhere)]).send(POD2, VIP, 80) == {"DROP"}


def test_load_balancer_and_its_source_ranges(kernel: type[Kernel], service: Make, endpoint_slice: Make) -> None:
    balanced = service(
        type="LoadBalancer",
        loadBalancerSourceRanges=["198.51.100.0/24"],
        status={"loadBalancer": {"ingress": [{"ip": "203.0.113.5"}]}},
    )
    k = kernel([balanced], [endpoint_slice(POD1)])
    assert k.send(CLIENT, "203.0.113.5", 80) == {f"{POD1}:8080 masqueraded"}
    assert k.send("192.0.2.1", "203.0.113.5", 80) == {"DROP"}


def test_session_affinity_brings_a_known_client_back(kernel: type[Kernel], service: Make, endpoint_slice: Make) -> None:
    k = kernel([service(sessionAffinity="ClientIP")], [endpoint_slice(POD1, POD2)])
    assert len(k.send("172.17.0.9", VIP, 80)) == 2
    chains = [chain for chain in k.nat.chains if chain.startswith("KUBE-SEP-")]
    for chain in chains:
        (end,) = k.send("172.17.0.9", VIP, 80, known_at=[chain])
        target = k.nat.chains[chain][1].target
        assert isinstance(target, Dnat)
        assert end == target.destination


def test_nobody_comes_to_loopback_from_outside(kernel: type[Kernel]) -> None:
    k = kernel([], [])
    assert k.send(CLIENT, "127.0.0.1", 22) == {"DROP"}
    assert k.send("127.0.0.1", "127.0.0.1", 22) == {"untouched"}


def test_shares_are_equal(kernel: type[Kernel], service: Make, endpoint_slice: Make) -> None:
    k = kernel([service()], [endpoint_slice(*[f"172.17.0.{n}" for n in range(2, 9)])])
    (chain,) = [rules for name, rules in k.nat.chains.items() if name.startswith("KUBE-SVC-")]
    left, shares = 1.0, []
    for rule in chain:
        share = left * (rule.probability or 1.0)
        shares.append(share)
        left -= share
    assert len(shares) == 7
    assert all(abs(share - 1 / 7) < 1e-9 for share in shares)
