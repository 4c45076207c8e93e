"""Where objects are kept, and the cache through which they are read.

protocol.py      what a store can do; etcd.py and memory.py can
cache.py         the watch cache of each worker process; revisions.py: what other workers have written
compaction.py    forgets old revisions
"""
