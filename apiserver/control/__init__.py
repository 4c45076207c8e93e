"""Loops inside the API server that write objects which must exist, or which follow from others.

loop.py          runs a task when what concerns it has changed
bootstrap.py     namespaces, the kubernetes Service and other objects that every cluster has
policykeeper.py  the default roles and bindings; rolereconcile.py decides what to change
definitions.py   conditions of CustomResourceDefinitions, and the removal of their objects
"""
