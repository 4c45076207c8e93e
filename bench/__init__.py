"""Measure the running cluster beside Docker's floor and upstream. Each row is a time, a rate or a size.

table.py        the rows, each with its unit and aim, and how they are printed
walk.py         seconds of each step of the walk-through, from kubectl's call until the rules or the VIP show it
floor.py        seconds that Docker alone takes to create and start as many containers
api.py          requests a second, and milliseconds of a write, measured with wrk
fanout.py       milliseconds from a write until the last of 100 watchers has its event
resources.py    MB of memory (PSS), and per cent of one core in idle
alone.py        an API server and etcd for the rows of the API, without a cluster
__main__.py     the command
"""
