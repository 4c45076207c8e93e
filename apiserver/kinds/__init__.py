"""The rows of the built-in kinds: everything that differs from kind to kind. ``model/kind.py`` explains what a row is.

<plural>.py      one kind each: its strategy (defaults, checks, what may change), its columns, and last the row
pods/            Pods and the pod templates of other kinds: row.py; then defaults, checks of the spec, columns
services/        Services: row.py; then defaults, checks, columns, and the allocation of cluster IPs and node ports
rows.py          lists the kinds of the core; ``features/`` lists all others. registry.py finds a row by its names
strategies.py    the strategy of kinds with a spec and a status
resources.py     checks of resource names and amounts; ``model/checks.py`` has those of all other common fields
cells.py         cells and columns that many kinds share
reviews.py       kinds that are answered and never stored; unsupported.py: what is not here yet
subresources/    what status, scale, binding and the others do: a row each
"""
