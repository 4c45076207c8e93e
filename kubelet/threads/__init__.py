"""Work in the background.

pool.py         threads for calls that may block for long; timers.py: calls at a later moment
"""
