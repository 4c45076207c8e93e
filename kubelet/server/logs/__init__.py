"""Logs.

containerlogs.py  which container's log, and its entries as they are shown; logfile.py: reads Docker's files
nodelogs.py     the node's own log files
"""
