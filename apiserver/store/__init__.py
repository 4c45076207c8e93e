"""Where objects live: a narrow Protocol, etcd behind it, and a store in memory with the same semantics."""
