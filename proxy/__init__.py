"""kube-proxy: make Services work on this node with iptables. Read the files in this order.

    model.py        Services and EndpointSlices → ``ServicePort``: one value for each port with its endpoints
    chains.py       the names of our chains, and which chain leads to which
    ruletypes.py    what a rule consists of: matches and a target
    rules.py        ServicePorts → the rules of the nat and the filter table: how a VIP works
    render.py       rules → the text that iptables-restore reads
    runner.py       runs iptables-save and iptables-restore
    kernel.py       what of ours is in the kernel, read from iptables-save
    sync.py         the loop: whatever changes, bring the kernel's rules up to date
    monitor.py      netlink: hear when others change rules, links or routes
    conntrack.py    delete the UDP flows that still go to endpoints that are gone
    netlink.py      the few netlink messages that monitor.py and conntrack.py need
    network.py      the route for packets that no rule translates, and two kernel switches
    cleanup.py      remove all of it
    __main__.py     flags, and the wiring of the above

The first five are pure: values in, values out. ``pyproject.toml`` has a contract that says which file may import which.
"""
