"""Where objects are kept, and the cache through which they are read.

protocol.py      what the API server asks of a store; etcd.py and memory.py are stores
cache.py         the watch cache of each worker process; history.py: the latest changes of a kind; watcher.py reads them
revisions.py     consistent reads: what any worker has written, every worker shows
compaction.py    lets the store forget old revisions
rpc.py           calls of etcd, over HTTP/2; messages.py: its protobuf messages
measure.py       how long the store takes; memoryfile.py: a memory store on disk
"""
